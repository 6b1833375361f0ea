#include "slots.h"

#include <stddef.h>
#include <string.h>

#include "board.h"
#include "port.h"

#define HEAD_MAGIC 0x314D4845u /* "EHM1" */
#define MARKS_AT 512u
#define MARK_CELLS 2u /* a mark torn by a power cut cannot be written again, so each has a second cell */
#define SECTORS (SLOT_BYTES / FLASH_SECTOR)

_Static_assert(SLOT_BYTES % FLASH_SECTOR == 0u, "a slot is whole sectors");
_Static_assert(MARKS_AT + (SECTORS * MARK_CELLS * 4u) <= FLASH_SECTOR, "the marks fit the head sector");
_Static_assert(FLASH_BYTES >= (2u * FLASH_SECTOR) + (SLOTS * (FLASH_SECTOR + SLOT_BYTES)), "two slots fit the flash");

typedef struct {
  uint32_t magic, size, crc, reserved;
} slot_head;

_Static_assert(sizeof(slot_head) + MANIFEST_BYTES <= MARKS_AT, "the manifest fits before the marks");

static struct {
  uint8_t slot;
  uint32_t have, whole;
} incoming;

static uint32_t base(uint8_t slot) { return (2u * FLASH_SECTOR) + ((uint32_t)slot * (FLASH_SECTOR + SLOT_BYTES)); }

const uint8_t *slots_image(uint8_t slot) { return port_flash() + base(slot) + FLASH_SECTOR; }

static bool stored_manifest(uint8_t slot, span *bytes) {
  slot_head head;
  const uint8_t *at = port_flash() + base(slot);
  (void)memcpy((uint8_t *)&head, at, sizeof head);
  if (head.magic != HEAD_MAGIC || head.size > MANIFEST_BYTES || head.crc != crc32(at + sizeof head, head.size)) {
    return false;
  }
  *bytes = (span){.at = at + sizeof head, .size = head.size};
  return true;
}

verdict slots_manifest(uint8_t slot, manifest *out) {
  span bytes = {0};
  if (slot >= SLOTS || !stored_manifest(slot, &bytes)) {
    return REFUSED(COAP_NOT_FOUND, "slot: it is empty");
  }
  verdict result = manifest_require_signed(bytes.at, bytes.size, out);
  return result.code != 0u ? result : manifest_require_fit(out);
}

bool slots_peek(uint8_t slot, manifest *out) {
  span bytes = {0};
  return slot < SLOTS && stored_manifest(slot, &bytes) && manifest_read(bytes.at, bytes.size, out).code == 0u;
}

/* The CRC of a sector of the image, as its mark has it: never that of erased flash. */
static uint32_t mark_of(uint8_t slot, uint32_t sector, uint32_t whole) {
  uint32_t start = sector * FLASH_SECTOR;
  uint32_t size = whole - start < FLASH_SECTOR ? whole - start : FLASH_SECTOR;
  uint32_t crc = crc32(slots_image(slot) + start, size);
  return crc == 0xFFFFFFFFu ? 0u : crc;
}

static uint32_t cell_offset(uint8_t slot, uint32_t sector, uint32_t cell) {
  return base(slot) + MARKS_AT + (((sector * MARK_CELLS) + cell) * 4u);
}

static uint32_t cell_value(uint8_t slot, uint32_t sector, uint32_t cell) {
  uint32_t value = 0;
  (void)memcpy(&value, port_flash() + cell_offset(slot, sector, cell), sizeof value);
  return value;
}

static bool marked(uint8_t slot, uint32_t sector, uint32_t whole) {
  uint32_t mark = mark_of(slot, sector, whole);
  return cell_value(slot, sector, 0) == mark || cell_value(slot, sector, 1) == mark;
}

/* False when both cells are spoiled: the slot then has to be begun anew. */
static bool write_mark(uint8_t slot, uint32_t sector, uint32_t whole) {
  uint32_t mark = mark_of(slot, sector, whole);
  for (uint32_t cell = 0; cell < MARK_CELLS; cell++) {
    if (cell_value(slot, sector, cell) == 0xFFFFFFFFu) {
      return port_flash_write(cell_offset(slot, sector, cell), (const uint8_t *)&mark, sizeof mark);
    }
  }
  return false;
}

static uint32_t proven(uint8_t slot, uint32_t whole) {
  uint32_t have = 0;
  for (uint32_t sector = 0; have < whole && marked(slot, sector, whole); sector++) {
    have = (sector + 1u) * FLASH_SECTOR < whole ? (sector + 1u) * FLASH_SECTOR : whole;
  }
  return have;
}

void slots_close(void) {
  incoming.slot = NO_SLOT;
  incoming.have = 0;
  incoming.whole = 0;
}

void slots_forget(uint8_t slot) {
  slots_close();
  (void)port_flash_erase(base(slot));
}

static bool same_release(const journal_release *release, const uint8_t *sha256) {
  return release->slot != NO_SLOT && memcmp(release->digest, sha256, DIGEST_KEPT) == 0;
}

void slots_start(void) {
  slots_close();
  for (uint8_t slot = 0; slot < SLOTS; slot++) {
    manifest stored;
    const journal_state *state = journal_read();
    if (slot != state->active.slot && slots_peek(slot, &stored) && stored.size <= SLOT_BYTES &&
        !same_release(&state->previous, stored.sha256)) {
      incoming.slot = slot;
      incoming.whole = stored.size;
      incoming.have = proven(slot, stored.size);
    }
  }
}

verdict slots_require_whole(uint8_t slot, const manifest *of) {
  sha256_context context;
  uint8_t digest[SHA256_BYTES];
  sha256_begin(&context);
  sha256_add(&context, slots_image(slot), of->size);
  sha256_end(&context, digest);
  return memcmp(digest, of->sha256, sizeof digest) == 0
             ? ACCEPTED
             : REFUSED(COAP_UNPROCESSABLE, "digest: the image is not the one that was signed");
}

static verdict begin(uint8_t slot, const uint8_t *bytes, uint32_t size, uint32_t whole) {
  uint8_t padded[sizeof(slot_head) + MANIFEST_BYTES];
  slot_head head = {.magic = HEAD_MAGIC, .size = size, .crc = crc32(bytes, size), .reserved = 0xFFFFFFFFu};
  (void)memset(padded, 0xFF, sizeof padded);
  (void)memcpy(padded, (const uint8_t *)&head, sizeof head);
  (void)memcpy(padded + sizeof head, bytes, size);
  slots_close();
  uint32_t written = ((uint32_t)sizeof head + size + 3u) & ~3u;
  if (!port_flash_erase(base(slot)) || !port_flash_write(base(slot), padded, written)) {
    return REFUSED(COAP_SERVER_ERROR, "flash: the slot cannot be written");
  }
  incoming.slot = slot;
  incoming.whole = whole;
  return ACCEPTED;
}

verdict slots_require_news(const manifest *offered) {
  const journal_state *state = journal_read();
  const journal_release *active = &state->active;
  if (journal_is_bad(offered->sha256)) {
    return REFUSED(COAP_FORBIDDEN, "quarantine: this release has failed here before");
  }
  if (same_release(active, offered->sha256)) {
    return REFUSED(COAP_CONFLICT, "active: this release is the one that runs");
  }
  if (offered->sequence < state->floor || (offered->sequence == state->floor && active->slot != NO_SLOT &&
                                           memcmp(offered->sha256, state->floor_digest, DIGEST_KEPT) != 0)) {
    return REFUSED(COAP_CONFLICT, "sequence: it is not above that of every release that ran here");
  }
  return ACCEPTED;
}

verdict slots_offer(const uint8_t *bytes, uint32_t size) {
  manifest offered;
  span stored = {0};
  const journal_state *state = journal_read();
  verdict result = manifest_require_signed(bytes, size, &offered);
  if (result.code == 0u) {
    result = manifest_require_fit(&offered);
  }
  if (result.code != 0u) {
    return result;
  }
  result = slots_require_news(&offered);
  if (result.code != 0u) {
    return result;
  }
  uint8_t slot = state->active.slot == 0u ? 1u : 0u;
  if (stored_manifest(slot, &stored) && stored.size == size && memcmp(stored.at, bytes, size) == 0) {
    /* Bytes in a sector that is not complete may be half programmed; alive, this device knows better. */
    if (incoming.slot != slot) {
      incoming.slot = slot;
      incoming.whole = offered.size;
      incoming.have = proven(slot, offered.size);
    }
    return ACCEPTED;
  }
  return begin(slot, bytes, size, offered.size);
}

/* Programs bytes inside of one sector, which is erased when its first byte comes. */
static bool program(uint32_t offset, const uint8_t *bytes, uint32_t size) {
  uint32_t to = base(incoming.slot) + FLASH_SECTOR + offset;
  uint32_t whole_words = size & ~3u;
  if (offset % FLASH_SECTOR == 0u && !port_flash_erase(to)) {
    return false;
  }
  if (whole_words != 0u && !port_flash_write(to, bytes, whole_words)) {
    return false;
  }
  if (size != whole_words) { /* only at the end of the image */
    uint8_t last[4] = {0xFF, 0xFF, 0xFF, 0xFF};
    (void)memcpy(last, bytes + whole_words, size - whole_words);
    return port_flash_write(to + whole_words, last, sizeof last);
  }
  return true;
}

verdict slots_write(uint32_t offset, const uint8_t *bytes, uint32_t size) {
  if (incoming.slot == NO_SLOT) {
    return REFUSED(COAP_PRECONDITION, "manifest: put the manifest first");
  }
  if (offset > incoming.have) {
    return REFUSED(COAP_INCOMPLETE, "offset: it is beyond what is there");
  }
  if (size > incoming.whole - offset || offset > incoming.whole) {
    return REFUSED(COAP_TOO_LARGE, "size: the image is longer than its manifest says");
  }
  uint32_t known = incoming.have - offset;
  if (known >= size) {
    return ACCEPTED; /* told before */
  }
  const uint8_t *from = &bytes[known];
  uint32_t left = size - known;
  if (left % 4u != 0u && incoming.have + left != incoming.whole) {
    return REFUSED(COAP_BAD_REQUEST, "offset: only the last block may have a size that is no multiple of four");
  }
  while (left != 0u) {
    uint32_t sector = incoming.have / FLASH_SECTOR;
    uint32_t room = ((sector + 1u) * FLASH_SECTOR) - incoming.have;
    uint32_t part = left < room ? left : room;
    if (!program(incoming.have, from, part)) {
      return REFUSED(COAP_SERVER_ERROR, "flash: the slot cannot be written");
    }
    from = &from[part];
    left -= part;
    incoming.have += part;
    if ((part == room || incoming.have == incoming.whole) && !write_mark(incoming.slot, sector, incoming.whole)) {
      (void)port_flash_erase(base(incoming.slot)); /* without its mark the sector would never count */
      slots_close();
      return REFUSED(COAP_SERVER_ERROR, "flash: the slot has to be begun anew; put the manifest again");
    }
  }
  return ACCEPTED;
}

uint8_t slots_incoming(uint32_t *have, uint32_t *whole) {
  *have = incoming.have;
  *whole = incoming.whole;
  return incoming.slot;
}
