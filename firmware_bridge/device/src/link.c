#include "link.h"

#include "board.h"
#include "coap.h"
#include "port.h"
#include "slipmux.h"

#define FRAME_BYTES (1u + COAP_OVERHEAD + PATH_BYTES + BLOCK_BYTES + 2u)

static uint8_t frame[FRAME_BYTES];
static slipmux_receiver receiver;
static uint8_t raw[64];
static uint32_t raw_at, raw_size;

/* What goes out is gathered, since some ports pay for each write. */
static uint8_t outgoing[64];
static uint32_t outgoing_size;

#define PROOF_MS 3000u

static uint32_t baud = STANDARD_BAUD, asked_baud, changed_ms;
static bool proven = true;

uint32_t link_baud(void) { return baud; }

bool link_ask_baud(uint32_t wanted) {
  /* Tried and taken back at once: nothing is on its way at either rate now. */
  if (!port_set_baud(wanted)) {
    return false;
  }
  asked_baud = wanted;
  return port_set_baud(baud);
}

void link_tick(void) {
  if (asked_baud != 0u && port_set_baud(asked_baud)) {
    baud = asked_baud;
    changed_ms = port_millis();
    proven = baud == STANDARD_BAUD;
  }
  asked_baud = 0;
  if (!proven && port_millis() - changed_ms >= PROOF_MS) {
    static const char BACK[] = "line: nobody spoke at the new rate; back to the standard one";
    proven = true;
    baud = STANDARD_BAUD;
    (void)port_set_baud(baud);
    link_send_text((const uint8_t *)BACK, sizeof BACK - 1u);
  }
}

void link_start(void) {
  slipmux_begin(&receiver, frame, sizeof frame);
  raw_at = 0;
  raw_size = 0;
  outgoing_size = 0;
}

bool link_receive(span *message) {
  for (;;) {
    if (raw_at == raw_size) {
      raw_at = 0;
      raw_size = port_read(raw, sizeof raw);
      if (raw_size == 0u) {
        return false;
      }
    }
    uint8_t byte = raw[raw_at];
    raw_at++;
    if (slipmux_take(&receiver, byte, &message->size) == SLIPMUX_MESSAGE) {
      message->at = frame + 1;
      proven = true;
      return true;
    }
  }
}

static void flush(void) {
  port_write(outgoing, outgoing_size);
  outgoing_size = 0;
}

static void put(uint8_t byte) {
  if (outgoing_size == sizeof outgoing) {
    flush();
  }
  outgoing[outgoing_size] = byte;
  outgoing_size++;
}

void link_send_message(const uint8_t *message, uint32_t size) {
  slipmux_send(SLIPMUX_COAP, message, size, put);
  flush();
}

void link_send_text(const uint8_t *text, uint32_t size) {
  slipmux_send(SLIPMUX_DIAGNOSTIC, text, size, put);
  flush();
}

uint32_t link_bad_frames(void) { return receiver.bad_frames; }
