/* Stellaris LM3S6965: UART0 (PL011), SysTick at 12 MHz after a reset. */
#include "cortexm.h"
#include "port.h"

#define UART 0x4000C000u
#define DATA REG(UART + 0x00u)
#define FLAGS REG(UART + 0x18u)
#define MASK REG(UART + 0x38u)
#define CLEAR REG(UART + 0x44u)
#define RX_EMPTY (1u << 4)
#define TX_FULL (1u << 5)
#define RX_INTERRUPTS ((1u << 4) | (1u << 6)) /* data, and data that waits */

void port_start(void) {
  REG(0x400FE104u) |= 1u;          /* RCGC1: UART0 has its clock */
  REG(0x400FE108u) |= 1u;          /* RCGC2: and port A, whose pins it uses */
  REG(0x40004420u) |= 3u;          /* GPIOAFSEL */
  REG(0x4000451Cu) |= 3u;          /* GPIODEN */
  (void)port_set_baud(115200u);
  REG(UART + 0x30u) = 0x301;       /* on, both ways */
  MASK = RX_INTERRUPTS;
  cortexm_enable_interrupt(5);
  cortexm_start_clock(12000000u);
}

bool port_set_baud(uint32_t baud) { return cortexm_set_pl011(UART, 12000000u, baud); }

void board_interrupt(void) {
  while ((FLAGS & RX_EMPTY) == 0u) {
    cortexm_received((uint8_t)DATA);
  }
  CLEAR = RX_INTERRUPTS;
}

void uart_put(uint8_t byte) {
  while ((FLAGS & TX_FULL) != 0u) {
  }
  DATA = byte;
}
