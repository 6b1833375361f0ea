#include "slipmux.h"

#define END 0xC0u
#define ESC 0xDBu
#define ESC_END 0xDCu
#define ESC_ESC 0xDDu

uint16_t fcs16(uint16_t fcs, const uint8_t *bytes, uint32_t size) {
  uint16_t sum = fcs;
  for (uint32_t i = 0; i < size; i++) {
    sum ^= bytes[i];
    for (uint32_t bit = 0; bit < 8u; bit++) {
      /* A table is 512 bytes of flash and saves nothing that a serial line would notice. */
      sum = (sum & 1u) != 0u ? (uint16_t)((sum >> 1) ^ 0x8408u) : (uint16_t)(sum >> 1);
    }
  }
  return sum;
}

void slipmux_begin(slipmux_receiver *receiver, uint8_t *buffer, uint32_t room) {
  *receiver = (slipmux_receiver){.buffer = buffer, .room = room};
}

static slipmux_result frame_end(slipmux_receiver *receiver, uint32_t *size) {
  uint32_t whole = receiver->size;
  bool bad = receiver->spoiled || receiver->escaped;
  receiver->size = 0;
  receiver->spoiled = false;
  receiver->escaped = false;
  if (whole == 0u && !bad) {
    return SLIPMUX_NOTHING; /* END before a frame flushes noise */
  }
  if (!bad && receiver->buffer[0] == SLIPMUX_DIAGNOSTIC) {
    *size = whole - 1u;
    return SLIPMUX_TEXT;
  }
  if (!bad && receiver->buffer[0] != SLIPMUX_COAP) {
    return SLIPMUX_NOTHING;
  }
  if (bad || whole < 3u || fcs16(FCS_START, receiver->buffer, whole) != FCS_GOOD) {
    receiver->bad_frames++;
    return SLIPMUX_NOTHING;
  }
  *size = whole - 3u;
  return SLIPMUX_MESSAGE;
}

slipmux_result slipmux_take(slipmux_receiver *receiver, uint8_t byte, uint32_t *size) {
  uint8_t meant = byte;
  if (byte == END) {
    return frame_end(receiver, size);
  }
  if (receiver->escaped) {
    receiver->escaped = false;
    if (byte == ESC_END) {
      meant = END;
    } else if (byte == ESC_ESC) {
      meant = ESC;
    } else {
      receiver->spoiled = true;
    }
  } else if (byte == ESC) {
    receiver->escaped = true;
    return SLIPMUX_NOTHING;
  } else {
    /* It means itself. */
  }
  if (receiver->size < receiver->room) {
    receiver->buffer[receiver->size] = meant;
    receiver->size++;
  } else {
    receiver->spoiled = true;
  }
  return SLIPMUX_NOTHING;
}

static void put_escaped(uint8_t byte, void (*put)(uint8_t byte)) {
  if (byte == END) {
    put(ESC);
    put(ESC_END);
  } else if (byte == ESC) {
    put(ESC);
    put(ESC_ESC);
  } else {
    put(byte);
  }
}

void slipmux_send(uint8_t type, const uint8_t *content, uint32_t size, void (*put)(uint8_t byte)) {
  put(END);
  put(type); /* neither type is END or ESC */
  for (uint32_t i = 0; i < size; i++) {
    put_escaped(content[i], put);
  }
  if (type == SLIPMUX_COAP) {
    uint16_t fcs = (uint16_t)~fcs16(fcs16(FCS_START, &type, 1), content, size);
    put_escaped((uint8_t)(fcs & 0xFFu), put);
    put_escaped((uint8_t)(fcs >> 8), put);
  }
  put(END);
}
