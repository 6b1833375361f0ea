/* Flash of an emulated board whose own cannot be written: RAM, and a file of the emulator's host that outlives it.
 *
 * Every change goes to the file at once, so ending the emulator is a power cut at that byte. The calls are Arm's
 * semihosting; the emulator is started with -semihosting-config enable=on and finds edgehost-flash.bin in its folder. */
#include <string.h>

#include "board.h"
#include "port.h"
#include "provision.h"

enum { SYS_OPEN = 1, SYS_WRITE = 5, SYS_READ = 6, SYS_SEEK = 0x0A, SYS_FLEN = 0x0C };
enum { MODE_UPDATE = 3, MODE_CREATE = 7 }; /* "r+b", "w+b" */

static uint8_t shadow[FLASH_BYTES] __attribute__((aligned(8)));
static int32_t file = -1;

static int32_t host_call(uint32_t operation, const void *arguments) {
  register uint32_t r0 __asm("r0") = operation;
  register const void *r1 __asm("r1") = arguments;
  __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return (int32_t)r0;
}

static bool to_file(uint32_t offset, const uint8_t *bytes, uint32_t size) {
  const uint32_t seek[2] = {(uint32_t)file, offset};
  const uint32_t write[3] = {(uint32_t)file, (uint32_t)(uintptr_t)bytes, size};
  return file >= 0 && host_call(SYS_SEEK, seek) == 0 && host_call(SYS_WRITE, write) == 0;
}

static void open_file(void) {
  static const char NAME[] = "edgehost-flash.bin";
  uint32_t open[3] = {(uint32_t)(uintptr_t)NAME, MODE_UPDATE, sizeof NAME - 1u};
  (void)memset(shadow, 0xFF, sizeof shadow);
  file = host_call(SYS_OPEN, open);
  if (file >= 0) {
    const uint32_t length[1] = {(uint32_t)file};
    const uint32_t read[3] = {(uint32_t)file, (uint32_t)(uintptr_t)shadow, sizeof shadow};
    if (host_call(SYS_FLEN, length) == (int32_t)sizeof shadow && host_call(SYS_READ, read) == 0) {
      return;
    }
  }
  open[1] = MODE_CREATE;
  file = host_call(SYS_OPEN, open);
  (void)to_file(0, shadow, sizeof shadow);
}

const uint8_t *port_flash(void) {
  if (file < 0) {
    open_file();
  }
  return shadow;
}

bool port_flash_erase(uint32_t offset) {
  if (offset % FLASH_SECTOR != 0u || offset >= FLASH_BYTES) {
    return false;
  }
  (void)memset(shadow + offset, 0xFF, FLASH_SECTOR);
  return to_file(offset, shadow + offset, FLASH_SECTOR);
}

bool port_flash_write(uint32_t offset, const uint8_t *bytes, uint32_t size) {
  if (offset % 4u != 0u || size % 4u != 0u || offset >= FLASH_BYTES || size > FLASH_BYTES - offset) {
    return false;
  }
  for (uint32_t i = 0; i < size; i++) {
    shadow[offset + i] &= bytes[i]; /* as NOR flash does */
  }
  return to_file(offset, shadow + offset, size);
}

void port_unique_id(uint8_t uid[UID_BYTES]) {
  provision_record own;
  provision_read(&own);
  (void)memcpy(uid, own.uid, UID_BYTES);
}
