/* What the ports of Cortex-M boards share: start, interrupts, clock, and the bytes that wait to be read. */
#ifndef CORTEXM_H
#define CORTEXM_H

#include <stdbool.h>
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define SYSTICK_CONTROL REG(0xE000E010u)
#define SYSTICK_RELOAD REG(0xE000E014u)
#define SYSTICK_VALUE REG(0xE000E018u)
#define INTERRUPTS_ENABLE(number) REG(0xE000E100u + (4u * ((number) / 32u)))
#define RESET_CONTROL REG(0xE000ED0Cu)

void cortexm_enable_interrupt(uint32_t number);

/* A tick every millisecond by SysTick, for a core that runs at this rate. */
void cortexm_start_clock(uint32_t hertz);
void cortexm_tick(void);

/* Whether a divider of a clock comes within 2 % of a rate. */
bool cortexm_close_enough(uint32_t hertz, uint32_t divider, uint32_t baud);

/* PL011: sets its divider of 1/64 steps for a rate; false when it cannot. */
bool cortexm_set_pl011(uint32_t uart, uint32_t hertz, uint32_t baud);

/* From the UART's interrupt: one more byte. What finds no room is lost, and CoAP says it again. */
void cortexm_received(uint8_t byte);

/* Each board has these. */
void uart_put(uint8_t byte);
void board_interrupt(void); /* every interrupt but SysTick */

#endif
