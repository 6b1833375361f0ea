/* What the device must remember over a power cut, as records in two sectors of flash that take turns.
 *
 * A record is 32 bytes with a CRC-32 at its end; a torn one is skipped. When a sector is full, the other one is
 * erased and filled with what still counts, and only then gets the head that makes it the valid one. So at any byte
 * either the old state or the new one is read back. */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#define DIGEST_KEPT 12u /* bytes of a SHA-256 that name a release */
#define NO_SLOT 0xFFu
#define MOST_BAD 4u

typedef struct {
  uint8_t slot; /* NO_SLOT: none */
  uint8_t digest[DIGEST_KEPT];
  uint64_t sequence;
} journal_release;

typedef struct {
  journal_release active, previous; /* what runs; what ran before it and can be brought back */
  uint8_t floor_digest[DIGEST_KEPT];
  uint64_t floor;                   /* the highest sequence that was ever committed, and whose it was */
  uint32_t starts;                  /* of the active release that did not end in a good probe */
  uint8_t trial_digest[DIGEST_KEPT];
  uint32_t trials;                  /* of a release that was never committed */
  uint8_t bad[MOST_BAD][DIGEST_KEPT]; /* releases that are not tried again, newest first */
  uint32_t bad_count;
} journal_state;

void journal_start(void);
const journal_state *journal_read(void);

/* Each is in flash when it returns true, and the state shows it. */
bool journal_commit(uint8_t slot, const uint8_t *digest, uint64_t sequence);
bool journal_no_release(void);
bool journal_starts(uint32_t starts);
bool journal_trials(const uint8_t *digest, uint32_t trials);
bool journal_bad(const uint8_t *digest);

bool journal_is_bad(const uint8_t *digest);

#endif
