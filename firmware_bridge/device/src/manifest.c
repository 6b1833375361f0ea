#include "manifest.h"

#include <string.h>

#include "board.h"
#include "port.h"
#include "provision.h"

/* {1: -8, 3: "edgehost-manifest+cbor"}: EdDSA, and a type that keeps signatures of other things of the same key out. */
static const uint8_t PROTECTED[] = {0xA2, 0x01, 0x27, 0x03, 0x76, 'e', 'd', 'g', 'e', 'h', 'o', 's', 't', '-',
                                    'm',  'a',  'n',  'i',  'f',  'e', 's', 't', '+', 'c', 'b', 'o', 'r'};
/* ["Signature1", protected, h'' ... up to the payload (RFC 9052 section 4.4) */
static const uint8_t SIGNED_HEAD[] = {0x84, 0x6A, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1'};

static const char *const BOARDS[] = {BOARD_NAME, BOARD_CORE, "any"};
static const char *const FEATURES[] = {
    "mvp",         "sign-extension",  "multi-value", "saturating-float-to-int",
    "bulk-memory", "mutable-global",
#if WASM_FLOAT
    "float",
#endif
};

static bool any_key_signed(const uint8_t *signature, span payload) {
  provision_record own;
  uint8_t payload_head[3];
  uint32_t head_size = 1;
  provision_read(&own);
  /* The head of the byte string is written here, since the writer would copy its content. */
  if (payload.size < 24u) {
    payload_head[0] = (uint8_t)(0x40u | payload.size);
  } else if (payload.size < 256u) {
    payload_head[0] = 0x58;
    payload_head[1] = (uint8_t)payload.size;
    head_size = 2;
  } else {
    payload_head[0] = 0x59;
    payload_head[1] = (uint8_t)(payload.size >> 8);
    payload_head[2] = (uint8_t)(payload.size & 0xFFu);
    head_size = 3;
  }
  static const uint8_t PROTECTED_HEAD[] = {0x58, (uint8_t)sizeof PROTECTED}, NO_AAD[] = {0x40};
  const message_piece pieces[] = {
      {SIGNED_HEAD, sizeof SIGNED_HEAD}, {PROTECTED_HEAD, sizeof PROTECTED_HEAD}, {PROTECTED, sizeof PROTECTED},
      {NO_AAD, sizeof NO_AAD},           {payload_head, head_size},               {payload.at, payload.size}};
  for (uint32_t i = 0; i < own.key_count; i++) {
    if (ed25519_holds(signature, own.keys[i], pieces, (uint32_t)(sizeof pieces / sizeof pieces[0]))) {
      return true;
    }
  }
  return false;
}

/* An array of texts, as it stands. */
static bool texts(cbor_reader *reader, span *array) {
  uint32_t count = 0;
  const uint8_t *start = reader->at;
  span text = {0};
  if (!cbor_array(reader, &count)) {
    return false;
  }
  for (uint32_t i = 0; i < count; i++) {
    if (!cbor_text(reader, &text)) {
      return false;
    }
  }
  *array = (span){.at = start, .size = (uint32_t)(reader->at - start)};
  return true;
}

static bool small_number(cbor_reader *reader, uint32_t *value) {
  uint64_t wide = 0;
  if (!cbor_uint(reader, &wide) || wide > 0x7FFFFFFFu) {
    return false;
  }
  *value = (uint32_t)wide;
  return true;
}

/* Keys 1 to 9 in order, then 10 if it is there; unknown keys are refused, since an older device cannot know whether
 * they forbid something. */
static bool read_payload(span payload, manifest *out) {
  cbor_reader reader = cbor_read(payload.at, payload.size);
  uint32_t count = 0;
  span digest = {0};
  bool good = cbor_map(&reader, &count) && (count == 9u || count == 10u);
  *out = (manifest){0};
  for (uint64_t i = 1; good && i <= count; i++) {
    uint64_t key = 0;
    good = cbor_uint(&reader, &key) && key == i;
    if (good) {
      switch (i) {
        case 1: good = cbor_text(&reader, &out->component); break;
        case 2: good = cbor_text(&reader, &out->version); break;
        case 3: good = cbor_uint(&reader, &out->sequence); break;
        case 4: good = small_number(&reader, &out->size); break;
        case 5: good = cbor_bytes(&reader, &digest); break;
        case 6: good = texts(&reader, &out->boards); break;
        case 7: good = cbor_text(&reader, &out->abi); break;
        case 8: good = small_number(&reader, &out->memory); break;
        case 9: good = texts(&reader, &out->features); break;
        default: good = cbor_bytes(&reader, &out->audience); break;
      }
    }
  }
  out->sha256 = digest.at;
  return good && cbor_done(&reader) && digest.size == SHA256_BYTES && out->component.size != 0u &&
         out->component.size <= NAME_BYTES && out->version.size != 0u && out->version.size <= NAME_BYTES &&
         out->size != 0u && (count == 9u || out->audience.size == UID_BYTES);
}

static verdict read_envelope(const uint8_t *bytes, uint32_t size, span *payload, span *signature) {
  cbor_reader reader = cbor_read(bytes, size);
  uint32_t count = 0;
  span protected = {0};
  (void)cbor_tag(&reader, 18);
  bool good = size <= MANIFEST_BYTES && cbor_array(&reader, &count) && count == 4u && cbor_bytes(&reader, &protected);
  /* Nothing unsigned says anything: the unprotected header is empty. */
  good = good && cbor_map(&reader, &count) && count == 0u && cbor_bytes(&reader, payload) && cbor_bytes(&reader, signature);
  if (!good || !cbor_done(&reader) || signature->size != 64u) {
    return REFUSED(COAP_BAD_REQUEST, "malformed: this is no COSE_Sign1 of a manifest");
  }
  if (protected.size != sizeof PROTECTED || memcmp(protected.at, PROTECTED, sizeof PROTECTED) != 0) {
    return REFUSED(COAP_FORBIDDEN, "signature: the protected header is not that of a manifest");
  }
  return ACCEPTED;
}

static verdict read_signed(const uint8_t *bytes, uint32_t size, bool check, manifest *out) {
  span payload = {0}, signature = {0};
  verdict result = read_envelope(bytes, size, &payload, &signature);
  if (result.code != 0u) {
    return result;
  }
  if (check && !any_key_signed(signature.at, payload)) {
    return REFUSED(COAP_FORBIDDEN, "signature: none of this device's keys has signed it");
  }
  if (!read_payload(payload, out)) {
    return REFUSED(COAP_BAD_REQUEST, "malformed: the signed manifest is none that this firmware reads");
  }
  return ACCEPTED;
}

verdict manifest_require_signed(const uint8_t *bytes, uint32_t size, manifest *out) {
  return read_signed(bytes, size, true, out);
}

verdict manifest_read(const uint8_t *bytes, uint32_t size, manifest *out) { return read_signed(bytes, size, false, out); }

/* Whether every text of `asked` (or any of them) is in the list. */
static bool listed(span asked, const char *const *list, uint32_t list_size, bool every) {
  cbor_reader reader = cbor_read(asked.at, asked.size);
  uint32_t count = 0, found = 0;
  span text = {0};
  if (!cbor_array(&reader, &count)) {
    return false;
  }
  for (uint32_t i = 0; i < count && cbor_text(&reader, &text); i++) {
    for (uint32_t j = 0; j < list_size; j++) {
      if (span_is(text, list[j])) {
        found++;
        break;
      }
    }
  }
  return every ? found == count : found != 0u;
}

verdict manifest_require_fit(const manifest *wanted) {
  uint8_t uid[UID_BYTES];
  port_unique_id(uid);
  if (!listed(wanted->boards, BOARDS, (uint32_t)(sizeof BOARDS / sizeof BOARDS[0]), false)) {
    return REFUSED(COAP_FORBIDDEN, "board: the manifest is for other boards");
  }
  if (wanted->audience.size != 0u && memcmp(wanted->audience.at, uid, UID_BYTES) != 0) {
    return REFUSED(COAP_FORBIDDEN, "audience: the manifest is for another device");
  }
  if (!span_is(wanted->abi, "extism")) {
    return REFUSED(COAP_UNPROCESSABLE, "abi: this firmware runs components with abi extism");
  }
  if (!listed(wanted->features, FEATURES, (uint32_t)(sizeof FEATURES / sizeof FEATURES[0]), true)) {
    return REFUSED(COAP_UNPROCESSABLE, "features: the component needs what this engine does not have");
  }
  if (wanted->size > SLOT_BYTES) {
    return REFUSED(COAP_TOO_LARGE, "size: the component is larger than a slot");
  }
  if (wanted->memory > LINEAR_MEMORY_BYTES) {
    return REFUSED(COAP_TOO_LARGE, "memory: the component needs more linear memory than this board has");
  }
  return ACCEPTED;
}
