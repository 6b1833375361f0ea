#include <string.h>

#include "digests.h"

static const uint32_t K[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
    0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
    0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
    0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
    0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
    0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
    0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u};

static uint32_t rotated(uint32_t x, uint32_t by) { return (x >> by) | (x << (32u - by)); }

static void add_block(uint32_t state[8], const uint8_t block[64]) {
  uint32_t w[16], s[8];
  for (uint32_t i = 0; i < 16u; i++) {
    const uint8_t *at = block + (4u * i);
    w[i] = ((uint32_t)at[0] << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | at[3];
  }
  (void)memcpy(s, state, sizeof s);
  for (uint32_t i = 0; i < 64u; i++) {
    if (i >= 16u) {
      uint32_t x = w[(i + 1u) & 15u], y = w[(i + 14u) & 15u];
      w[i & 15u] += (rotated(x, 7) ^ rotated(x, 18) ^ (x >> 3)) + w[(i + 9u) & 15u] +
                    (rotated(y, 17) ^ rotated(y, 19) ^ (y >> 10));
    }
    uint32_t t1 = s[7] + (rotated(s[4], 6) ^ rotated(s[4], 11) ^ rotated(s[4], 25)) +
                  ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i & 15u];
    uint32_t t2 = (rotated(s[0], 2) ^ rotated(s[0], 13) ^ rotated(s[0], 22)) +
                  ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    (void)memmove(s + 1, s, 7u * sizeof s[0]);
    s[4] += t1;
    s[0] = t1 + t2;
  }
  for (uint32_t i = 0; i < 8u; i++) {
    state[i] += s[i];
  }
}

void sha256_begin(sha256_context *context) {
  static const uint32_t START[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                    0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
  (void)memcpy(context->state, START, sizeof START);
  context->size = 0;
}

void sha256_add(sha256_context *context, const uint8_t *bytes, uint32_t size) {
  for (uint32_t i = 0; i < size; i++) {
    context->block[context->size % 64u] = bytes[i];
    context->size++;
    if (context->size % 64u == 0u) {
      add_block(context->state, context->block);
    }
  }
}

void sha256_end(sha256_context *context, uint8_t digest[SHA256_BYTES]) {
  static const uint8_t ONE = 0x80u, ZERO = 0u;
  uint64_t bits = context->size * 8u;
  uint8_t length[8];
  sha256_add(context, &ONE, 1);
  while (context->size % 64u != 56u) {
    sha256_add(context, &ZERO, 1);
  }
  for (uint32_t i = 0; i < 8u; i++) {
    length[i] = (uint8_t)(bits >> (56u - (8u * i)));
  }
  sha256_add(context, length, sizeof length);
  for (uint32_t i = 0; i < SHA256_BYTES; i++) {
    digest[i] = (uint8_t)(context->state[i / 4u] >> (24u - (8u * (i % 4u))));
  }
}

uint32_t crc32(const uint8_t *bytes, uint32_t size) {
  uint32_t crc = 0xFFFFFFFFu;
  for (uint32_t i = 0; i < size; i++) {
    crc ^= bytes[i];
    for (uint32_t bit = 0; bit < 8u; bit++) {
      crc = (crc & 1u) != 0u ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
    }
  }
  return ~crc;
}
