/* CBOR (RFC 8949) in its deterministic form: definite lengths, shortest heads. No allocation, bounded depth. */
#ifndef CBOR_H
#define CBOR_H

#include <stdbool.h>
#include <stdint.h>

#define CBOR_DEPTH 32u /* that of a specification */

typedef struct {
  const uint8_t *at, *end;
  bool failed; /* stays set; every later read returns false */
} cbor_reader;

typedef struct {
  const uint8_t *at;
  uint32_t size;
} span;

cbor_reader cbor_read(const uint8_t *bytes, uint32_t size);
bool cbor_uint(cbor_reader *reader, uint64_t *value);
bool cbor_bytes(cbor_reader *reader, span *value);
bool cbor_text(cbor_reader *reader, span *value);
bool cbor_array(cbor_reader *reader, uint32_t *count);
bool cbor_map(cbor_reader *reader, uint32_t *count);
bool cbor_tag(cbor_reader *reader, uint64_t tag); /* takes this tag if it is there; true when it was */
bool cbor_skip(cbor_reader *reader);              /* one item with all that is in it; floats and simple values too */
bool cbor_done(const cbor_reader *reader);        /* nothing failed and nothing is left */

/* Finds the value of a text key in a map that the reader stands at; the reader then stands at the value. */
bool cbor_find(cbor_reader *reader, const char *key, uint32_t key_size);

bool span_is(span text, const char *word);

typedef struct {
  uint8_t *at, *end;
  bool full; /* stays set; what was written is then worthless */
} cbor_writer;

cbor_writer cbor_write(uint8_t *bytes, uint32_t room);
void cbor_put_uint(cbor_writer *writer, uint64_t value);
void cbor_put_bool(cbor_writer *writer, bool value);
void cbor_put_bytes(cbor_writer *writer, const uint8_t *bytes, uint32_t size);
void cbor_put_text(cbor_writer *writer, const char *text, uint32_t size);
void cbor_put_word(cbor_writer *writer, const char *zero_ended);
void cbor_put_array(cbor_writer *writer, uint32_t count);
void cbor_put_map(cbor_writer *writer, uint32_t count);

#endif
