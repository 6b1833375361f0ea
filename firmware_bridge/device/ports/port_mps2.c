/* Arm MPS2 (CMSDK): UART0, SysTick at 25 MHz. */
#include "cortexm.h"
#include "port.h"

#define UART 0x40004000u
#define DATA REG(UART + 0x00u)
#define STATE REG(UART + 0x04u)
#define CONTROL REG(UART + 0x08u)
#define INTERRUPT REG(UART + 0x0Cu)
#define TX_FULL 1u
#define RX_FULL 2u

void port_start(void) {
  (void)port_set_baud(115200u);
  CONTROL = 0x0Bu;         /* both ways, an interrupt for each byte received */
  cortexm_enable_interrupt(0);
  cortexm_start_clock(25000000u);
}

bool port_set_baud(uint32_t baud) {
  uint32_t divider = baud == 0u ? 0u : 25000000u / baud;
  if (divider < 16u || !cortexm_close_enough(25000000u, divider, baud)) {
    return false;
  }
  while ((STATE & TX_FULL) != 0u) {
  }
  REG(UART + 0x10u) = divider;
  return true;
}

void board_interrupt(void) {
  INTERRUPT = 2;
  while ((STATE & RX_FULL) != 0u) {
    cortexm_received((uint8_t)DATA);
  }
}

void uart_put(uint8_t byte) {
  while ((STATE & TX_FULL) != 0u) {
  }
  DATA = byte;
}
