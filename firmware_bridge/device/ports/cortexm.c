/* Start, faults, clock and received bytes of Cortex-M boards. */
#include "cortexm.h"

#include <stddef.h>

#include "board.h"
#include "port.h"

#define WAITING 512u /* a frame and more; a power of two */
#define STACK_MARGIN 768u /* what a function of ours that a guest calls takes, and an interrupt on top */
#define INTERRUPTS 48u

extern uint32_t ld_data_from, ld_data, ld_data_end, ld_bss, ld_bss_end, ld_stack_limit, ld_stack_top;
extern int main(void);

void start_here(void);
void fault(void);

static volatile uint32_t millis;
static volatile uint32_t put_at, taken_at; /* they only grow */
static volatile uint8_t waiting[WAITING];

void start_here(void) {
  uint32_t *from = &ld_data_from;
  for (uint32_t *to = &ld_data; to < &ld_data_end; to++) {
    *to = *from;
    from++;
  }
  for (uint32_t *to = &ld_bss; to < &ld_bss_end; to++) {
    *to = 0;
  }
#if defined(__ARM_FP)
  REG(0xE000ED88u) |= 0xFu << 20; /* CPACR: the FPU is off after a reset */
  __asm volatile("dsb\n isb" ::: "memory");
#endif
  (void)main();
  port_reset();
}

/* A crash is a reset; the journal counts those that a component causes at its start. */
void fault(void) { port_reset(); }

void cortexm_tick(void) { millis++; }

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const handler VECTORS[16u + INTERRUPTS] = {
    (handler)(uintptr_t)&ld_stack_top,
    start_here,
    fault, /* NMI */
    fault, /* HardFault */
    fault, /* MemManage */
    fault, /* BusFault */
    fault, /* UsageFault */
    NULL,
    NULL,
    NULL,
    NULL,
    fault, /* SVCall */
    fault, /* DebugMonitor */
    NULL,
    fault, /* PendSV */
    cortexm_tick,
    [16 ... 15 + INTERRUPTS] = board_interrupt,
};

void cortexm_enable_interrupt(uint32_t number) { INTERRUPTS_ENABLE(number) = 1u << (number % 32u); }

void cortexm_start_clock(uint32_t hertz) {
  SYSTICK_RELOAD = (hertz / 1000u) - 1u;
  SYSTICK_VALUE = 0;
  SYSTICK_CONTROL = 7; /* core clock, interrupt, on */
}

bool cortexm_close_enough(uint32_t hertz, uint32_t divider, uint32_t baud) {
  if (divider == 0u) {
    return false;
  }
  uint32_t real = hertz / divider, off = real > baud ? real - baud : baud - real;
  return off <= baud / 50u;
}

bool cortexm_set_pl011(uint32_t uart, uint32_t hertz, uint32_t baud) {
  uint32_t divider = baud == 0u ? 0u : ((hertz * 4u) + (baud / 2u)) / baud; /* in 1/64 of 16 clocks */
  if (divider < 64u || divider > 0x3FFFFFu || !cortexm_close_enough(hertz * 4u, divider, baud)) {
    return false;
  }
  while ((REG(uart + 0x18u) & (1u << 3)) != 0u) { /* busy sending */
  }
  REG(uart + 0x24u) = divider / 64u;
  REG(uart + 0x28u) = divider % 64u;
  REG(uart + 0x2Cu) = 0x70; /* 8N1, FIFOs; the dividers are taken over by this write */
  return true;
}

void cortexm_received(uint8_t byte) {
  uint32_t at = put_at;
  if (at - taken_at < WAITING) {
    waiting[at % WAITING] = byte;
    put_at = at + 1u;
  }
}

uint32_t port_millis(void) { return millis; }

uint32_t port_read(uint8_t *bytes, uint32_t room) {
  uint32_t size = 0;
  while (size < room && taken_at != put_at) {
    bytes[size] = waiting[taken_at % WAITING];
    taken_at++;
    size++;
  }
  return size;
}

void port_write(const uint8_t *bytes, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    uart_put(bytes[i]);
  }
}

void port_idle(uint32_t most_ms) {
  uint32_t since = millis;
  while (taken_at == put_at && millis - since < most_ms) {
    __asm volatile("wfi");
  }
}

#ifndef BOARD_RESETS_ITSELF
void port_reset(void) {
  __asm volatile("dsb" ::: "memory");
  RESET_CONTROL = 0x05FA0004u;
  for (;;) {
  }
}
#endif

uintptr_t port_stack_floor(void) { return (uintptr_t)&ld_stack_limit + STACK_MARGIN; }

/* The C library's ways out. */
__attribute__((noreturn)) void abort(void);
void abort(void) {
  port_reset();
  for (;;) {
  }
}
