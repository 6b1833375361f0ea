/* The firmware's readers as a filter, for tests: a line with a word and hexadecimal arguments, a line back. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "coap.h"
#include "digests.h"
#include "manifest.h"
#include "module.h"
#include "port.h"
#include "slipmux.h"

#define MOST (1024u * 1024u)

typedef struct {
  uint8_t *at;
  uint32_t size;
} bytes;

void port_unique_id(uint8_t uid[UID_BYTES]) { (void)memcpy(uid, "device01", UID_BYTES); }

/* In memory of just its size, so that the sanitizer sees the first byte beyond. */
static bytes argument(void) {
  char *word = strtok(NULL, " \n");
  bytes read = {.at = NULL, .size = word == NULL || word[0] == '-' ? 0u : (uint32_t)strlen(word) / 2u};
  read.at = malloc(read.size == 0u ? 1u : read.size);
  for (uint32_t i = 0; i < read.size; i++) {
    unsigned int value = 0;
    (void)sscanf(word + (2u * i), "%2x", &value);
    read.at[i] = (uint8_t)value;
  }
  return read;
}

static void show(const uint8_t *at, uint32_t size) {
  if (size == 0u) {
    (void)putchar('-');
  }
  for (uint32_t i = 0; i < size; i++) {
    (void)printf("%02x", at[i]);
  }
}

static void put(uint8_t byte) { (void)printf("%02x", byte); }

static void do_frame(void) {
  bytes type = argument(), content = argument();
  slipmux_send(type.at[0], content.at, content.size, put);
  free(type.at);
  free(content.at);
}

static void do_unframe(void) {
  bytes stream = argument();
  slipmux_receiver receiver;
  uint8_t *frame = malloc(700);
  slipmux_begin(&receiver, frame, 700);
  for (uint32_t i = 0; i < stream.size; i++) {
    uint32_t size = 0;
    slipmux_result result = slipmux_take(&receiver, stream.at[i], &size);
    if (result != SLIPMUX_NOTHING) {
      (void)printf("%s ", result == SLIPMUX_MESSAGE ? "message" : "text");
      show(frame + 1, size);
      (void)putchar(' ');
    }
  }
  (void)printf("bad %u", receiver.bad_frames);
  free(frame);
  free(stream.at);
}

static void do_coap(void) {
  bytes raw = argument();
  coap_message message = {0};
  if (!coap_parse(raw.at, raw.size, &message)) {
    (void)printf("bad");
  } else {
    coap_options options = coap_options_of(&message);
    span value = {0};
    (void)printf("%u %u %u ", message.type, message.code, message.id);
    show(message.token, message.token_size);
    (void)putchar(' ');
    show(message.payload.at, message.payload.size);
    while (coap_next(&options, &value)) {
      (void)printf(" %u ", options.number);
      show(value.at, value.size);
    }
  }
  free(raw.at);
}

static void do_cbor(void) {
  bytes raw = argument();
  cbor_reader reader = cbor_read(raw.at, raw.size);
  (void)printf("%s", cbor_skip(&reader) && cbor_done(&reader) ? "good" : "bad");
  free(raw.at);
}

static void do_digest(const char *which) {
  bytes raw = argument();
  uint8_t digest[SHA512_BYTES];
  if (strcmp(which, "sha256") == 0) {
    sha256_context context;
    sha256_begin(&context);
    sha256_add(&context, raw.at, raw.size);
    sha256_end(&context, digest);
    show(digest, SHA256_BYTES);
  } else if (strcmp(which, "sha512") == 0) {
    sha512_context context;
    sha512_begin(&context);
    sha512_add(&context, raw.at, raw.size);
    sha512_end(&context, digest);
    show(digest, SHA512_BYTES);
  } else {
    (void)printf("%08x", crc32(raw.at, raw.size));
  }
  free(raw.at);
}

static void do_ed25519(void) {
  bytes key = argument(), signature = argument(), message = argument();
  const message_piece piece = {message.at, message.size};
  (void)printf("%s", ed25519_holds(signature.at, key.at, &piece, 1) ? "good" : "bad");
  free(key.at);
  free(signature.at);
  free(message.at);
}

static void do_manifest(void) {
  bytes raw = argument();
  manifest found;
  verdict result = manifest_require_signed(raw.at, raw.size, &found);
  if (result.code == 0u) {
    result = manifest_require_fit(&found);
  }
  if (result.code != 0u) {
    (void)printf("%s", result.why);
  } else {
    show(found.component.at, found.component.size);
    (void)printf(" %llu %u %u ", (unsigned long long)found.sequence, found.size, found.memory);
    show(found.sha256, SHA256_BYTES);
  }
  free(raw.at);
}

static void do_module(void) {
  bytes raw = argument();
  module_outline outline;
  verdict result = module_require_sound(raw.at, raw.size, &outline);
  span name = module_text(outline.spec, NULL, "name", 4);
  (void)printf("%s", result.code == 0u ? "good " : result.why);
  if (result.code == 0u) {
    show(name.at, name.size);
  }
  free(raw.at);
}

int main(void) {
  static char line[2u * MOST];
  while (fgets(line, sizeof line, stdin) != NULL) {
    const char *word = strtok(line, " \n");
    if (word == NULL) {
      continue;
    }
    if (strcmp(word, "frame") == 0) {
      do_frame();
    } else if (strcmp(word, "unframe") == 0) {
      do_unframe();
    } else if (strcmp(word, "coap") == 0) {
      do_coap();
    } else if (strcmp(word, "cbor") == 0) {
      do_cbor();
    } else if (strcmp(word, "ed25519") == 0) {
      do_ed25519();
    } else if (strcmp(word, "manifest") == 0) {
      do_manifest();
    } else if (strcmp(word, "module") == 0) {
      do_module();
    } else {
      do_digest(word);
    }
    (void)putchar('\n');
    (void)fflush(stdout);
  }
  return 0;
}
