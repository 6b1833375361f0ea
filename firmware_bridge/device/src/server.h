/* A CoAP server (RFC 7252) for one peer at the other end of the line: duplicates, Block1 and Block2 (RFC 7959),
 * Observe (RFC 7641). Every answer is piggybacked: a guest's deadline is below the peer's ACK_TIMEOUT. */
#ifndef SERVER_H
#define SERVER_H

#include "verdict.h"

#define PATH_SEGMENTS 3u

typedef struct {
  uint8_t method;
  span path[PATH_SEGMENTS];
  uint32_t path_count;
  int32_t format;  /* of the body, or FORMAT_NONE */
  span body;       /* the whole body; for a streamed resource this block */
  uint32_t offset; /* of a streamed resource's block */
  bool more;       /* of a streamed resource: blocks follow */
} request;

typedef struct {
  uint8_t code;
  int32_t format;
  span body; /* must stay until the next request */
} reply;

typedef struct {
  const char *name;   /* the first segment, and the second after a slash */
  uint32_t methods;   /* bits 1 << COAP_GET ... */
  uint32_t arguments; /* further segments */
  bool streamed, observable;
  void (*answer)(const request *asked, reply *answered);
} resource;

void server_start(const resource *resources, uint32_t count);

/* Takes a message and sends what it calls for. */
void server_receive(const uint8_t *bytes, uint32_t size);

/* Tells the observers of a resource its representation; false while a transfer of blocks must not be disturbed. */
bool server_notify(const resource *changed);

bool server_observed(const resource *which);

#endif
