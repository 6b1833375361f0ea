/* Two places in flash for a component and its manifest, and the transfer into the one that is not in use.
 *
 * A slot is a head sector (manifest, marks) and the image's sectors. A sector's mark, its CRC-32, is written when the
 * sector is complete; after a power cut the device has what the marks prove. */
#ifndef SLOTS_H
#define SLOTS_H

#include "journal.h"
#include "manifest.h"

#define SLOTS 2u

void slots_start(void);

/* The manifest that is stored in a slot, its signature and fit checked anew; code 4.04 when there is none. */
verdict slots_manifest(uint8_t slot, manifest *out);

/* The same without a look at the signature; false when there is none. */
bool slots_peek(uint8_t slot, manifest *out);

/* Where the image is. */
const uint8_t *slots_image(uint8_t slot);

/* Requires that the image is complete and has the digest of its manifest. */
verdict slots_require_whole(uint8_t slot, const manifest *of);

/* Requires that the release may take the place of the one that runs: it is newer than all that ever ran, or the newest of
 * them that was rolled back, and has not failed here. */
verdict slots_require_news(const manifest *offered);

/* A manifest has come: prepares the free slot for its image, or finds how much of it is already there. */
verdict slots_offer(const uint8_t *bytes, uint32_t size);

/* Takes bytes of the image. Those that are there already are passed over; a gap is refused. */
verdict slots_write(uint32_t offset, const uint8_t *bytes, uint32_t size);

/* The slot of the transfer (NO_SLOT: none), how much of its image is there and how much there will be. */
uint8_t slots_incoming(uint32_t *have, uint32_t *whole);

/* The transfer's slot is in use now. */
void slots_close(void);

/* What is in the slot is of no use: its head is erased. */
void slots_forget(uint8_t slot);

#endif
