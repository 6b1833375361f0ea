/* RP2040: UART0 on GPIO 0 and 1, everything at the crystal's 12 MHz, components in the flash that the code runs from. */
#include <stddef.h>
#include <string.h>

#include "board.h"
#include "cortexm.h"
#include "port.h"
#include "provision.h"

#define RESETS 0x4000C000u
#define SET_BITS 0x2000u /* aliases of a register for atomic changes */
#define CLEAR_BITS 0x3000u
#define NEEDED ((1u << 5) | (1u << 8) | (1u << 22)) /* IO_BANK0, PADS_BANK0, UART0 */

#define UART 0x40034000u
#define DATA REG(UART + 0x00u)
#define FLAGS REG(UART + 0x18u)
#define RX_EMPTY (1u << 4)
#define TX_FULL (1u << 5)
#define RX_INTERRUPTS ((1u << 4) | (1u << 6))
#define UART_INTERRUPT 20u

#define FLASH_AT 0x10000000u
#define SLOTS_FROM 0x100000u /* the second megabyte */
#define PAGE 256u

_Static_assert(SLOTS_FROM + FLASH_BYTES <= 0x200000u, "the slots end with the flash");

static void start_clocks(void) {
  REG(0x40024000u) = (0xFABu << 12) | 0xAA0u; /* XOSC: on, 1 to 15 MHz */
  while ((REG(0x40024004u) & (1u << 31)) == 0u) {
  }
  REG(0x40008030u) = 2;        /* CLK_REF: crystal; the core's clock follows it after a reset */
  REG(0x40008048u) = 1u << 11; /* CLK_PERI: on, from the core's */
}

void port_start(void) {
  start_clocks();
  REG(RESETS + CLEAR_BITS) = NEEDED;
  while ((REG(RESETS + 8u) & NEEDED) != NEEDED) {
  }
  REG(0x40014004u) = 2;     /* GPIO 0 and 1: UART */
  REG(0x4001400Cu) = 2;
  (void)port_set_baud(115200u);
  REG(UART + 0x30u) = 0x301;
  REG(UART + 0x38u) = RX_INTERRUPTS;
  cortexm_enable_interrupt(UART_INTERRUPT);
  cortexm_start_clock(12000000u);
}

bool port_set_baud(uint32_t baud) { return cortexm_set_pl011(UART, 12000000u, baud); }

void board_interrupt(void) {
  while ((FLAGS & RX_EMPTY) == 0u) {
    cortexm_received((uint8_t)DATA);
  }
  REG(UART + 0x44u) = RX_INTERRUPTS;
}

void uart_put(uint8_t byte) {
  while ((FLAGS & TX_FULL) != 0u) {
  }
  DATA = byte;
}

void port_reset(void) {
  REG(0x40010008u) = 0x0001FFFCu;           /* PSM: everything but the oscillators */
  REG(0x40058000u + SET_BITS) = 1u << 31;   /* watchdog: now */
  for (;;) {
  }
}

/* The boot ROM's flash functions (data sheet, 2.8.3.1.3). While they run there is no flash to run from. */
typedef void (*rom_plain)(void);
typedef void (*rom_erase)(uint32_t offset, uint32_t size, uint32_t block_size, uint8_t block_command);
typedef void (*rom_program)(uint32_t offset, const uint8_t *bytes, uint32_t size);
typedef void *(*rom_lookup)(uint16_t *table, uint32_t code);

static void *rom_function(char first, char second) {
  uintptr_t rom = 0;
  __asm volatile("" : "+r"(rom)); /* the compiler believes that nothing can be at address 0 */
  uint16_t table = *(const volatile uint16_t *)(rom + 0x14u), lookup = *(const volatile uint16_t *)(rom + 0x18u);
  rom_lookup find = (rom_lookup)(uintptr_t)lookup;
  return find((uint16_t *)(uintptr_t)table, (uint32_t)(uint8_t)first | ((uint32_t)(uint8_t)second << 8));
}

typedef struct {
  rom_plain connect, leave_xip, flush, enter_xip;
  rom_erase erase;
  rom_program program;
} rom_flash;

static void find_functions(rom_flash *rom) {
  rom->connect = (rom_plain)rom_function('I', 'F');
  rom->leave_xip = (rom_plain)rom_function('E', 'X');
  rom->flush = (rom_plain)rom_function('F', 'C');
  rom->enter_xip = (rom_plain)rom_function('C', 'X');
  rom->erase = (rom_erase)rom_function('R', 'E');
  rom->program = (rom_program)rom_function('R', 'P');
}

/* In RAM, with all that it needs on the stack. Erases a sector when there is no page to program. */
__attribute__((section(".ramfunc"), noinline, long_call)) static void change_flash(const rom_flash *rom,
                                                                                     uint32_t offset,
                                                                                     const uint8_t *page) {
  __asm volatile("cpsid i" ::: "memory");
  rom->connect();
  rom->leave_xip();
  if (page == NULL) {
    rom->erase(offset, FLASH_SECTOR, FLASH_SECTOR, 0x20);
  } else {
    rom->program(offset, page, PAGE);
  }
  rom->flush();
  rom->enter_xip();
  __asm volatile("cpsie i" ::: "memory");
}

const uint8_t *port_flash(void) { return (const uint8_t *)(FLASH_AT + SLOTS_FROM); }

bool port_flash_erase(uint32_t offset) {
  rom_flash rom;
  if (offset % FLASH_SECTOR != 0u || offset >= FLASH_BYTES) {
    return false;
  }
  find_functions(&rom);
  change_flash(&rom, SLOTS_FROM + offset, NULL);
  return true;
}

/* A page is programmed as a whole; what stays as it is is all ones. */
bool port_flash_write(uint32_t offset, const uint8_t *bytes, uint32_t size) {
  rom_flash rom;
  uint8_t page[PAGE];
  if (offset % 4u != 0u || size % 4u != 0u || offset >= FLASH_BYTES || size > FLASH_BYTES - offset) {
    return false;
  }
  find_functions(&rom);
  for (uint32_t done = 0; done < size;) {
    uint32_t at = (offset + done) % PAGE;
    uint32_t part = PAGE - at < size - done ? PAGE - at : size - done;
    (void)memset(page, 0xFF, sizeof page);
    (void)memcpy(page + at, bytes + done, part);
    change_flash(&rom, SLOTS_FROM + offset + done - at, page);
    done += part;
  }
  return memcmp(port_flash() + offset, bytes, size) == 0;
}

void port_unique_id(uint8_t uid[UID_BYTES]) {
  provision_record own;
  provision_read(&own);
  (void)memcpy(uid, own.uid, UID_BYTES);
}
