/* What makes one board different from the next of its kind: patched into the image by provision.py. */
#ifndef PROVISION_H
#define PROVISION_H

#include <stdint.h>

#include "port.h"

#define MOST_KEYS 4u

typedef struct {
  char magic[8]; /* "EHPROV1" */
  uint8_t uid[UID_BYTES];
  uint8_t key_count, reserved[7];
  uint8_t keys[MOST_KEYS][32]; /* Ed25519 public keys of those whose manifests are believed */
} provision_record;

/* The record, read past what the compiler believes of it. */
void provision_read(provision_record *record);

#endif
