/* The compact signed manifest of a component: COSE_Sign1 (RFC 9052) with Ed25519. The format is in PROTOCOL.md. */
#ifndef MANIFEST_H
#define MANIFEST_H

#include "digests.h"
#include "verdict.h"

#define MANIFEST_BYTES 480u /* the whole COSE_Sign1 */
#define NAME_BYTES 63u

typedef struct {
  span component, version, abi, audience;
  span boards, features; /* CBOR arrays of texts */
  uint64_t sequence;
  uint32_t size, memory;
  const uint8_t *sha256;
} manifest;

/* Reads the manifest and requires a signature of one of the provisioned keys. Spans point into `bytes`. */
verdict manifest_require_signed(const uint8_t *bytes, uint32_t size, manifest *out);

/* The same without a look at the signature, for what is told to people: it costs a hundredth of the time. */
verdict manifest_read(const uint8_t *bytes, uint32_t size, manifest *out);

/* Requires that it is for this board and device, and asks for no more than there is. */
verdict manifest_require_fit(const manifest *wanted);

#endif
