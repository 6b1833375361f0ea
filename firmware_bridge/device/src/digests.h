/* SHA-256 and SHA-512 (FIPS 180-4), and Ed25519 verification (RFC 8032) on Monocypher's curve. */
#ifndef DIGESTS_H
#define DIGESTS_H

#include <stdbool.h>
#include <stdint.h>

#define SHA256_BYTES 32u
#define SHA512_BYTES 64u

typedef struct {
  uint32_t state[8];
  uint64_t size;
  uint8_t block[64];
} sha256_context;

void sha256_begin(sha256_context *context);
void sha256_add(sha256_context *context, const uint8_t *bytes, uint32_t size);
void sha256_end(sha256_context *context, uint8_t digest[SHA256_BYTES]);

typedef struct {
  uint64_t state[8];
  uint64_t size;
  uint8_t block[128];
} sha512_context;

void sha512_begin(sha512_context *context);
void sha512_add(sha512_context *context, const uint8_t *bytes, uint32_t size);
void sha512_end(sha512_context *context, uint8_t digest[SHA512_BYTES]);

/* The message comes in `count` pieces, so that nobody has to copy it together. */
typedef struct {
  const uint8_t *at;
  uint32_t size;
} message_piece;

bool ed25519_holds(const uint8_t signature[64], const uint8_t public_key[32], const message_piece *pieces, uint32_t count);

/* CRC-32 (IEEE 802.3), for marks in flash. */
uint32_t crc32(const uint8_t *bytes, uint32_t size);

#endif
