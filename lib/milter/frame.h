/* SPDX-License-Identifier: ISC */
/* The milter protocol's packets, version 6 (Sendmail's mfdef.h): a length of four octets, a letter,
 * data. */
#ifndef KP_MILTER_FRAME_H
#define KP_MILTER_FRAME_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

enum {
	MILTER_VERSION = 6,
	MILTER_BODY_MAX = 65535,
	MILTER_PACKET_MAX =
	    1024 * 1024, /* what a milter may send: a replaced body comes in parts */
};

/* What a milter may ask us to do. */
enum milter_action {
	ACTION_ADDHDRS = 0x01,
	ACTION_CHGBODY = 0x02,
	ACTION_ADDRCPT = 0x04,
	ACTION_DELRCPT = 0x08,
	ACTION_CHGHDRS = 0x10,
	ACTION_QUARANTINE = 0x20,
	ACTION_CHGFROM = 0x40,
	ACTION_ADDRCPT_PAR = 0x80,
	ACTION_SETSYMLIST = 0x100,
	ACTION_ALL = 0x1ff,
};

/* What it does not want to see, and where it gives no reply. */
enum milter_protocol {
	PROTOCOL_NOCONNECT = 0x01,
	PROTOCOL_NOHELO = 0x02,
	PROTOCOL_NOMAIL = 0x04,
	PROTOCOL_NORCPT = 0x08,
	PROTOCOL_NOBODY = 0x10,
	PROTOCOL_NOHDRS = 0x20,
	PROTOCOL_NOEOH = 0x40,
	PROTOCOL_NR_HDR = 0x80,
	PROTOCOL_NOUNKNOWN = 0x100,
	PROTOCOL_NODATA = 0x200,
	PROTOCOL_SKIP = 0x400,
	PROTOCOL_RCPT_REJ = 0x800,
	PROTOCOL_NR_CONN = 0x1000,
	PROTOCOL_NR_HELO = 0x2000,
	PROTOCOL_NR_MAIL = 0x4000,
	PROTOCOL_NR_RCPT = 0x8000,
	PROTOCOL_NR_DATA = 0x10000,
	PROTOCOL_NR_UNKN = 0x20000,
	PROTOCOL_NR_EOH = 0x40000,
	PROTOCOL_NR_BODY = 0x80000,
	PROTOCOL_LEADSPC = 0x100000,
	PROTOCOL_ALL = 0x1fffff & ~PROTOCOL_RCPT_REJ,
};

/* Begins a packet and returns where; frame_end() writes its length. -1: over the buffer's max. */
ssize_t frame_begin(struct buf *out, char command) KP_MUST_USE;
void frame_end(struct buf *out, ssize_t at);

/* Parts of a packet. */
int frame_u32(struct buf *out, uint32_t n) KP_MUST_USE;
int frame_text(struct buf *out, struct str text) KP_MUST_USE; /* with its NUL */

/*
 * The packet at the front of `in`: 1, its letter and data and what it takes; 0: not whole yet; -1:
 * none, or too large.
 */
int frame_next(struct str in, char *command, struct str *data, size_t *used) KP_MUST_USE;

/* Off the front of a packet's data; false: there is none. */
bool frame_take_u32(struct str *data, uint32_t *n);
bool frame_take_text(struct str *data, struct str *text);

#endif
