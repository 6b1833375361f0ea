/* STM32F405: USART1 on PA9 and PA10.
 *
 * The clock tree stays as the reset leaves it (16 MHz); qemu's core runs at 168 MHz whatever the registers say, so the
 * ticks are counted for that and SYSTICK_HERTZ has to be set for silicon. */
#include "cortexm.h"
#include "port.h"

#ifndef SYSTICK_HERTZ
#define SYSTICK_HERTZ 168000000u
#endif
#define USART 0x40011000u
#define STATUS REG(USART + 0x00u)
#define DATA REG(USART + 0x04u)
#define RX_READY (1u << 5)
#define TX_EMPTY (1u << 7)

void port_start(void) {
  REG(0x40023830u) |= 1u;                                           /* AHB1ENR: port A */
  REG(0x40023844u) |= 1u << 4;                                      /* APB2ENR: USART1 */
  REG(0x40020000u) = (REG(0x40020000u) & ~(15u << 18)) | (10u << 18); /* PA9, PA10: alternate function */
  REG(0x40020024u) = (REG(0x40020024u) & ~(0xFFu << 4)) | (0x77u << 4);
  (void)port_set_baud(115200u);
  REG(USART + 0x0Cu) = (1u << 13) | (1u << 5) | (1u << 3) | (1u << 2); /* on, receive interrupt, both ways */
  cortexm_enable_interrupt(37);
  cortexm_start_clock(SYSTICK_HERTZ);
}

bool port_set_baud(uint32_t baud) {
  uint32_t divider = baud == 0u ? 0u : (16000000u + (baud / 2u)) / baud;
  if (divider < 16u || divider > 0xFFFFu || !cortexm_close_enough(16000000u, divider, baud)) {
    return false;
  }
  while ((STATUS & (1u << 6)) == 0u) { /* not all is out */
  }
  REG(USART + 0x08u) = divider;
  return true;
}

void board_interrupt(void) {
  while ((STATUS & RX_READY) != 0u) {
    cortexm_received((uint8_t)DATA);
  }
}

void uart_put(uint8_t byte) {
  while ((STATUS & TX_EMPTY) == 0u) {
  }
  DATA = byte;
}
