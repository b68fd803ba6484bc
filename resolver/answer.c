/* SPDX-License-Identifier: ISC */
/*
 * The reader of DNS answers. Hostile input: all of it. A cursor that cannot leave the packet; names
 * come out as text in which everything but letters, digits and the usual punctuation is escaped
 * (RFC 4343 2.1), so that no name holds a dot, blank or control character that was not a separator.
 */
#include "resolver/answer.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/why.h"

enum {
	HEADER_SIZE = 12,
	CLASS_IN = 1,
	LABEL_MAX = 63,
	WIRE_NAME_MAX = 255,
	RECORDS_SEEN_MAX = 1024
};
enum { RCODE_OK = 0, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3 };

struct cursor {
	struct str packet;
	size_t at;
};

/* A record as it stands in the packet. */
struct raw {
	char owner[ANSWER_NAME_MAX + 1];
	uint16_t type;
	uint32_t ttl;
	size_t at; /* of its data */
	size_t n;
};

static unsigned char
byte_at(const struct cursor *c, size_t at)
{
	return (unsigned char)c->packet.p[at];
}

static bool
take_u16(struct cursor *c, uint16_t *value)
{
	if (c->packet.n - c->at < 2)
		return false;
	*value = (uint16_t)(byte_at(c, c->at) << 8 | byte_at(c, c->at + 1));
	c->at += 2;
	return true;
}

static bool
take_u32(struct cursor *c, uint32_t *value)
{
	uint16_t high, low;

	if (!take_u16(c, &high) || !take_u16(c, &low))
		return false;
	*value = (uint32_t)high << 16 | low;
	return true;
}

static bool
skip(struct cursor *c, size_t n)
{
	if (c->packet.n - c->at < n)
		return false;
	c->at += n;
	return true;
}

static bool
is_plain(unsigned char b)
{
	return (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') || b == '-' || b == '_' ||
	       b == '/' || b == '*' || b == '+';
}

/* One label as text behind `*n` bytes of `out`. */
static bool
label_add(const struct cursor *c, size_t at, size_t length, char *out, size_t size, size_t *n)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char b = byte_at(c, at + i);
		if (b >= 'A' && b <= 'Z')
			b |= 0x20;
		if (*n + 5 > size)
			return false;
		if (is_plain(b))
			out[(*n)++] = (char)b;
		else
			*n += (size_t)snprintf(out + *n, size - *n, "\\%03u", b);
	}
	return true;
}

/*
 * A name at the cursor, which moves on behind it. Each pointer must lead to before the place where
 * the part that holds it began: so the walk ends, whatever the packet says.
 */
static bool
take_name(struct cursor *c, char out[static ANSWER_NAME_MAX + 1])
{
	size_t at = c->at, part = c->at, end = 0, n = 0, wire = 0;

	for (;;) {
		if (at >= c->packet.n)
			return false;
		size_t length = byte_at(c, at);
		if (length == 0)
			break;
		if ((length & 0xc0) == 0xc0) {
			if (c->packet.n - at < 2)
				return false;
			size_t target = (length & 0x3f) << 8 | byte_at(c, at + 1);
			if (target >= part)
				return false;
			if (end == 0)
				end = at + 2;
			at = part = target;
			continue;
		}
		wire += length + 1;
		if (length > LABEL_MAX || wire > WIRE_NAME_MAX || c->packet.n - at - 1 < length)
			return false;
		if (n > 0 && n < ANSWER_NAME_MAX)
			out[n++] = '.';
		if (!label_add(c, at + 1, length, out, ANSWER_NAME_MAX + 1, &n))
			return false;
		at += length + 1;
	}
	out[n] = '\0';
	c->at = end != 0 ? end : at + 1;
	return true;
}

static bool
take_record(struct cursor *c, struct raw *r)
{
	uint16_t class, size;

	if (!take_name(c, r->owner) || !take_u16(c, &r->type) || !take_u16(c, &class) ||
	    !take_u32(c, &r->ttl) || !take_u16(c, &size))
		return false;
	r->at = c->at;
	r->n = size;
	if (class != CLASS_IN)
		r->type = 0;
	return skip(c, size);
}

/* --- the data of each type --- */

static bool
data_fixed(struct answer *a, const struct cursor *c, const struct raw *r, size_t size)
{
	return r->n == size && buf_add(&a->data, c->packet.p + r->at, size) == 0;
}

/* A name that ends exactly where the data does. */
static bool
data_name(struct answer *a, const struct cursor *packet, const struct raw *r, size_t offset)
{
	char name[ANSWER_NAME_MAX + 1];
	struct cursor c = {packet->packet, r->at + offset};

	return r->n > offset && take_name(&c, name) && c.at == r->at + r->n &&
	       buf_puts(&a->data, name) == 0;
}

static bool
data_mx(struct answer *a, const struct cursor *packet, const struct raw *r,
    struct answer_record *record)
{
	struct cursor c = {packet->packet, r->at};

	return r->n > 2 && take_u16(&c, &record->preference) && data_name(a, packet, r, 2);
}

/* Character strings, joined (RFC 7208 3.3 and the like). */
static bool
data_txt(struct answer *a, const struct cursor *packet, const struct raw *r)
{
	size_t at = r->at, end = r->at + r->n;

	while (at < end) {
		size_t length = byte_at(packet, at);
		if (end - at - 1 < length ||
		    buf_add(&a->data, packet->packet.p + at + 1, length) == -1)
			return false;
		at += length + 1;
	}
	return r->n > 0;
}

static bool
data_tlsa(struct answer *a, const struct cursor *c, const struct raw *r)
{
	return r->n > 3 && buf_add(&a->data, c->packet.p + r->at, r->n) == 0;
}

static bool
record_read(struct answer *a, const struct cursor *c, const struct raw *r)
{
	if (a->n == ANSWER_RECORDS_MAX)
		return false;
	struct answer_record *record = &a->records[a->n];
	*record = (struct answer_record){.type = r->type, .at = a->data.n};
	bool good = false;
	if (r->type == DNS_A)
		good = data_fixed(a, c, r, 4);
	else if (r->type == DNS_AAAA)
		good = data_fixed(a, c, r, 16);
	else if (r->type == DNS_MX)
		good = data_mx(a, c, r, record);
	else if (r->type == DNS_PTR || r->type == DNS_CNAME || r->type == DNS_NS)
		good = data_name(a, c, r, 0);
	else if (r->type == DNS_TXT)
		good = data_txt(a, c, r);
	else if (r->type == DNS_TLSA)
		good = data_tlsa(a, c, r);
	if (!good)
		return false;
	record->n = a->data.n - record->at;
	a->n++;
	if (r->ttl < a->ttl)
		a->ttl = r->ttl;
	return true;
}

/* --- the answer as a whole --- */

/* One walk over the answer section: takes the CNAME of `name`, or all records of `type` that it
 * owns. */
static int
walk(struct answer *a, struct cursor c, unsigned count, uint16_t type, bool *moved)
{
	struct raw r;

	*moved = false;
	for (unsigned i = 0; i < count; i++) {
		if (!take_record(&c, &r))
			return -1;
		if (strcmp(r.owner, a->name) != 0)
			continue;
		if (r.type == type && !record_read(a, &c, &r))
			return -1;
		if (r.type == DNS_CNAME && type != DNS_CNAME) {
			struct cursor target = {c.packet, r.at};
			if (!take_name(&target, a->name) || target.at != r.at + r.n)
				return -1;
			if (r.ttl < a->ttl)
				a->ttl = r.ttl;
			*moved = true;
			return 0;
		}
	}
	return 0;
}

static int
header_read(struct cursor *c, unsigned *rcode, uint16_t *answers, uint16_t *questions)
{
	uint16_t id, flags, rest;

	if (!take_u16(c, &id) || !take_u16(c, &flags) || !take_u16(c, questions) ||
	    !take_u16(c, answers) || !take_u16(c, &rest) || !take_u16(c, &rest))
		return -1;
	*rcode = flags & 0xf;
	return (flags & 0x8000) != 0 ? 0 : -1;
}

static int
parse(struct answer *a, struct str packet, uint16_t type, unsigned *rcode)
{
	struct cursor c = {packet, 0};
	uint16_t answers, questions, asked, class;
	bool moved = true;

	if (header_read(&c, rcode, &answers, &questions) == -1 || questions != 1 ||
	    !take_name(&c, a->name) || !take_u16(&c, &asked) || !take_u16(&c, &class) ||
	    asked != type || class != CLASS_IN)
		return -1;
	if (*rcode != RCODE_OK && *rcode != RCODE_NXDOMAIN)
		return 0;
	if (answers > RECORDS_SEEN_MAX)
		return -1;
	for (int hops = 0; moved; hops++)
		if (hops > ANSWER_CNAMES_MAX || walk(a, c, answers, type, &moved) == -1)
			return -1;
	return 0;
}

void
answer_init(struct answer *a)
{
	a->status = DNS_FAILED;
	a->name[0] = '\0';
	a->ttl = UINT32_MAX;
	a->n = 0;
	buf_init(&a->data, ANSWER_DATA_MAX);
}

void
answer_clear(struct answer *a)
{
	buf_free(&a->data);
	a->n = 0;
}

int
answer_parse(struct answer *a, struct str packet, uint16_t type, struct why *why)
{
	unsigned rcode = RCODE_SERVFAIL;

	if (parse(a, packet, type, &rcode) == -1) {
		answer_clear(a);
		return why_temp(why, "4.4.3", "a malformed answer came from DNS");
	}
	if (rcode != RCODE_OK && rcode != RCODE_NXDOMAIN)
		return why_temp(why, "4.4.3", "the DNS server failed (rcode %u)", rcode);
	if (a->n > 0)
		a->status = DNS_OK;
	else
		a->status = rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
	if (a->ttl == UINT32_MAX)
		a->ttl = 0;
	return 0;
}

struct str
answer_data(const struct answer *a, size_t i)
{
	return str_sub(buf_view(&a->data), a->records[i].at, a->records[i].n);
}
