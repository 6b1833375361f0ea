/* Framing of the line: SLIP (RFC 1055) with the frame types of draft-bormann-t2trg-slipmux-03. */
#ifndef SLIPMUX_H
#define SLIPMUX_H

#include <stdbool.h>
#include <stdint.h>

#define SLIPMUX_DIAGNOSTIC 0x0Au /* followed by text */
#define SLIPMUX_COAP 0xA9u       /* followed by a CoAP message and its FCS16 (RFC 1662), low byte first */

#define FCS_START 0xFFFFu
#define FCS_GOOD 0xF0B8u /* over a frame with its FCS */

uint16_t fcs16(uint16_t fcs, const uint8_t *bytes, uint32_t size);

/* A frame as it comes in. `buffer` holds the type byte and what follows it. */
typedef struct {
  uint8_t *buffer;
  uint32_t room, size;
  bool escaped, spoiled;
  uint32_t bad_frames; /* too long, wrong FCS, wrong escape */
} slipmux_receiver;

void slipmux_begin(slipmux_receiver *receiver, uint8_t *buffer, uint32_t room);

typedef enum { SLIPMUX_NOTHING, SLIPMUX_MESSAGE, SLIPMUX_TEXT } slipmux_result;

/* Takes one byte of the line. On SLIPMUX_MESSAGE and SLIPMUX_TEXT the content is buffer[1] .. buffer[1 + *size - 1],
 * valid until the next byte. Frames of other types are skipped, as the draft asks. */
slipmux_result slipmux_take(slipmux_receiver *receiver, uint8_t byte, uint32_t *size);


/* Gives the whole frame, END to END, to `put` byte by byte. */
void slipmux_send(uint8_t type, const uint8_t *content, uint32_t size, void (*put)(uint8_t byte));

#endif
