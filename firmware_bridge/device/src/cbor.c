#include "cbor.h"

#include <string.h>

enum { UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };

cbor_reader cbor_read(const uint8_t *bytes, uint32_t size) {
  return (cbor_reader){.at = bytes, .end = bytes + size, .failed = false};
}

/* The head of the next item; `*info` is the low five bits, which simple values need. */
static bool head(cbor_reader *reader, uint8_t *major, uint8_t *info, uint64_t *value) {
  if (reader->failed || reader->at >= reader->end) {
    reader->failed = true;
    return false;
  }
  uint8_t first = *reader->at;
  reader->at++;
  *major = first >> 5;
  *info = first & 31u;
  *value = *info;
  if (*info < 24u) {
    return true;
  }
  if (*info > 27u) {
    reader->failed = true; /* reserved, or of indefinite length */
    return false;
  }
  uint32_t more = 1u << (*info - 24u);
  if ((uint32_t)(reader->end - reader->at) < more) {
    reader->failed = true;
    return false;
  }
  uint64_t read = 0;
  for (uint32_t i = 0; i < more; i++) {
    read = (read << 8) | reader->at[i];
  }
  reader->at += more;
  *value = read;
  /* The shortest head: the value must not fit the next smaller one. Floats (major 7) are as wide as they are. */
  bool shortest = more == 1u ? read >= 24u : (read >> (4u * more)) != 0u;
  if (*major != (uint8_t)SIMPLE && !shortest) {
    reader->failed = true;
    return false;
  }
  return true;
}

static bool wanted(cbor_reader *reader, uint8_t major, uint64_t *value) {
  uint8_t found = 0, info = 0;
  if (!head(reader, &found, &info, value)) {
    return false;
  }
  if (found != major) {
    reader->failed = true;
    return false;
  }
  return true;
}

bool cbor_uint(cbor_reader *reader, uint64_t *value) { return wanted(reader, UINT, value); }

static bool content(cbor_reader *reader, uint8_t major, span *value) {
  uint64_t size = 0;
  if (!wanted(reader, major, &size)) {
    return false;
  }
  if (size > (uint64_t)(reader->end - reader->at)) {
    reader->failed = true;
    return false;
  }
  value->at = reader->at;
  value->size = (uint32_t)size;
  reader->at += size;
  return true;
}

bool cbor_bytes(cbor_reader *reader, span *value) { return content(reader, BYTES, value); }

bool cbor_text(cbor_reader *reader, span *value) { return content(reader, TEXT, value); }

static bool counted(cbor_reader *reader, uint8_t major, uint32_t *count) {
  uint64_t value = 0;
  if (!wanted(reader, major, &value)) {
    return false;
  }
  if (value > (uint64_t)(reader->end - reader->at)) {
    reader->failed = true; /* every item takes a byte at least */
    return false;
  }
  *count = (uint32_t)value;
  return true;
}

bool cbor_array(cbor_reader *reader, uint32_t *count) { return counted(reader, ARRAY, count); }

bool cbor_map(cbor_reader *reader, uint32_t *count) { return counted(reader, MAP, count); }

bool cbor_tag(cbor_reader *reader, uint64_t tag) {
  cbor_reader ahead = *reader;
  uint64_t value = 0;
  if (!wanted(&ahead, TAG, &value) || value != tag) {
    return false;
  }
  *reader = ahead;
  return true;
}

bool cbor_skip(cbor_reader *reader) {
  uint64_t left[CBOR_DEPTH];
  uint32_t depth = 0;
  uint64_t items = 1;
  while (!reader->failed) {
    if (items == 0u) {
      if (depth == 0u) {
        return true;
      }
      depth--;
      items = left[depth];
      continue;
    }
    items--;
    uint8_t major = 0, info = 0;
    uint64_t value = 0;
    if (!head(reader, &major, &info, &value)) {
      return false;
    }
    uint64_t room = (uint64_t)(reader->end - reader->at);
    if (major == (uint8_t)BYTES || major == (uint8_t)TEXT) {
      if (value > room) {
        break;
      }
      reader->at += value;
    } else if (major == (uint8_t)ARRAY || major == (uint8_t)MAP || major == (uint8_t)TAG) {
      if (value > room && major != (uint8_t)TAG) {
        break;
      }
      if (depth == CBOR_DEPTH) {
        break;
      }
      left[depth] = items;
      depth++;
      items = major == (uint8_t)TAG ? 1u : major == (uint8_t)MAP ? 2u * value : value;
    } else {
      /* integers and simple values are their heads */
    }
  }
  reader->failed = true;
  return false;
}

bool cbor_done(const cbor_reader *reader) { return !reader->failed && reader->at == reader->end; }

bool cbor_find(cbor_reader *reader, const char *key, uint32_t key_size) {
  uint32_t count = 0;
  if (!cbor_map(reader, &count)) {
    return false;
  }
  for (uint32_t i = 0; i < count; i++) {
    span name = {0};
    if (!cbor_text(reader, &name)) {
      return false;
    }
    if (name.size == key_size && memcmp(name.at, key, key_size) == 0) {
      return true;
    }
    if (!cbor_skip(reader)) {
      return false;
    }
  }
  return false;
}

bool span_is(span text, const char *word) {
  size_t size = strlen(word);
  return text.size == size && memcmp(text.at, word, size) == 0;
}

cbor_writer cbor_write(uint8_t *bytes, uint32_t room) {
  return (cbor_writer){.at = bytes, .end = bytes + room, .full = false};
}

static void put(cbor_writer *writer, const void *bytes, uint32_t size) {
  if (writer->full || (uint32_t)(writer->end - writer->at) < size) {
    writer->full = true;
    return;
  }
  if (size != 0u) {
    (void)memcpy(writer->at, bytes, size);
  }
  writer->at += size;
}

static void put_head(cbor_writer *writer, uint8_t major, uint64_t value) {
  uint8_t bytes[9];
  uint32_t more = value < 24u ? 0u : value <= 0xFFu ? 1u : value <= 0xFFFFu ? 2u : value <= 0xFFFFFFFFu ? 4u : 8u;
  uint8_t info = more == 0u ? (uint8_t)value : more == 1u ? 24u : more == 2u ? 25u : more == 4u ? 26u : 27u;
  bytes[0] = (uint8_t)((uint32_t)major << 5) | info;
  for (uint32_t i = 0; i < more; i++) {
    bytes[1u + i] = (uint8_t)(value >> (8u * (more - 1u - i)));
  }
  put(writer, bytes, 1u + more);
}

void cbor_put_uint(cbor_writer *writer, uint64_t value) { put_head(writer, UINT, value); }

void cbor_put_bool(cbor_writer *writer, bool value) { put_head(writer, SIMPLE, value ? 21u : 20u); }

void cbor_put_bytes(cbor_writer *writer, const uint8_t *bytes, uint32_t size) {
  put_head(writer, BYTES, size);
  put(writer, bytes, size);
}

void cbor_put_text(cbor_writer *writer, const char *text, uint32_t size) {
  put_head(writer, TEXT, size);
  put(writer, text, size);
}

void cbor_put_word(cbor_writer *writer, const char *zero_ended) {
  cbor_put_text(writer, zero_ended, (uint32_t)strlen(zero_ended));
}

void cbor_put_array(cbor_writer *writer, uint32_t count) { put_head(writer, ARRAY, count); }

void cbor_put_map(cbor_writer *writer, uint32_t count) { put_head(writer, MAP, count); }
