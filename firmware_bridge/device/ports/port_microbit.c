/* BBC micro:bit: UART and TIMER0 of the nRF51822, components in its own flash. The core has no SysTick. */
#include <string.h>

#include "board.h"
#include "cortexm.h"
#include "port.h"

#define UART 0x40002000u
#define RX_READY REG(UART + 0x108u)
#define TX_READY REG(UART + 0x11Cu)
#define RXD REG(UART + 0x518u)
#define TXD REG(UART + 0x51Cu)

#define TIMER 0x40008000u
#define COMPARED REG(TIMER + 0x140u)

#define NVMC 0x4001E000u
#define NVMC_READY REG(NVMC + 0x400u)
#define NVMC_CONFIG REG(NVMC + 0x504u)
#define NVMC_ERASE_PAGE REG(NVMC + 0x508u)
enum { FLASH_READ = 0, FLASH_WRITE = 1, FLASH_ERASE = 2 };

#define FLASH_AT 0x30000u /* the last 64 KB of 256 */

_Static_assert(FLASH_BYTES <= 0x10000u, "the slots end with the flash");

void port_start(void) {
  REG(UART + 0x50Cu) = 24;          /* TXD to the USB interface */
  REG(UART + 0x514u) = 25;          /* RXD */
  (void)port_set_baud(115200u);
  REG(UART + 0x500u) = 4;           /* on */
  REG(UART + 0x304u) = 1u << 2;     /* an interrupt for each byte received */
  REG(UART + 0x000u) = 1;           /* STARTRX */
  REG(UART + 0x008u) = 1;           /* STARTTX */
  cortexm_enable_interrupt(2);
  REG(TIMER + 0x508u) = 3;          /* 32 bits */
  REG(TIMER + 0x510u) = 4;          /* 16 MHz / 2^4 */
  REG(TIMER + 0x540u) = 1000;       /* CC[0]: every millisecond */
  REG(TIMER + 0x200u) = 1;          /* COMPARE0 clears */
  REG(TIMER + 0x304u) = 1u << 16;   /* and interrupts */
  REG(TIMER + 0x000u) = 1;
  cortexm_enable_interrupt(8);
}

/* The register takes the rate as a share of 16 MHz in 2^32, rounded to 4096 as in the data sheet's table. */
bool port_set_baud(uint32_t baud) {
  if (baud < 1200u || baud > 1000000u) {
    return false;
  }
  REG(UART + 0x524u) = (uint32_t)((((uint64_t)baud << 28) / 1000000u) + 0x800u) & 0xFFFFF000u;
  return true;
}

void board_interrupt(void) {
  if (COMPARED != 0u) {
    COMPARED = 0;
    cortexm_tick();
  }
  while (RX_READY != 0u) {
    RX_READY = 0;
    cortexm_received((uint8_t)RXD);
  }
}

void uart_put(uint8_t byte) {
  TX_READY = 0;
  TXD = byte;
  while (TX_READY == 0u) {
  }
}

static void wait_for_flash(void) {
  while ((NVMC_READY & 1u) == 0u) {
  }
}

const uint8_t *port_flash(void) { return (const uint8_t *)FLASH_AT; }

bool port_flash_erase(uint32_t offset) {
  if (offset % FLASH_SECTOR != 0u || offset >= FLASH_BYTES) {
    return false;
  }
  NVMC_CONFIG = FLASH_ERASE;
  wait_for_flash();
  NVMC_ERASE_PAGE = FLASH_AT + offset;
  wait_for_flash();
  NVMC_CONFIG = FLASH_READ;
  return true;
}

bool port_flash_write(uint32_t offset, const uint8_t *bytes, uint32_t size) {
  if (offset % 4u != 0u || size % 4u != 0u || offset >= FLASH_BYTES || size > FLASH_BYTES - offset) {
    return false;
  }
  NVMC_CONFIG = FLASH_WRITE;
  wait_for_flash();
  for (uint32_t i = 0; i < size; i += 4u) {
    uint32_t word = 0;
    (void)memcpy(&word, bytes + i, sizeof word);
    REG(FLASH_AT + offset + i) = word;
    wait_for_flash();
  }
  NVMC_CONFIG = FLASH_READ;
  return memcmp(port_flash() + offset, bytes, size) == 0;
}

void port_unique_id(uint8_t uid[UID_BYTES]) {
  const uint32_t words[2] = {REG(0x10000060u), REG(0x10000064u)}; /* FICR.DEVICEID */
  (void)memcpy(uid, words, UID_BYTES);
}
