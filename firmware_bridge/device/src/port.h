/* What the firmware needs of a board. One file in ports/ implements it. */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stdint.h>

#define UID_BYTES 8u

/* Once, before anything else. The line and the clock work afterwards. */
void port_start(void);

/* Milliseconds since the start; wraps after 49 days. Must be called at least every 100 ms. */
uint32_t port_millis(void);

/* Bytes that have come over the line, at most `room`; never waits. */
uint32_t port_read(uint8_t *bytes, uint32_t room);

/* Waits until all bytes are on their way. */
void port_write(const uint8_t *bytes, uint32_t size);

/* Another rate, once all that was written is out. False, and nothing changed, when the board cannot have it within 2 %. */
bool port_set_baud(uint32_t baud);

/* Sleeps until a byte comes, for at most `most_ms`. */
void port_idle(uint32_t most_ms);

/* The flash that components are kept in, readable as memory: FLASH_BYTES of it. */
const uint8_t *port_flash(void);

/* Sets one sector to 0xFF. False when the flash refused. */
bool port_flash_erase(uint32_t offset);

/* Programs erased bytes; offset and size are multiples of four. False when the flash refused. */
bool port_flash_write(uint32_t offset, const uint8_t *bytes, uint32_t size);

/* Starts the firmware anew; does not return. */
void port_reset(void);

void port_unique_id(uint8_t uid[UID_BYTES]);

/* The lowest address that the C stack may reach; a guest that comes near it is stopped. */
uintptr_t port_stack_floor(void);

#endif
