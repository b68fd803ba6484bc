/* SPDX-License-Identifier: ISC */
/*
 * A DNS answer in wire form (RFC 1035 section 4), read strictly: every length is checked, a
 * compression pointer leads backwards only, nothing is read twice without need. What is malformed
 * is DNS_FAILED.
 */
#ifndef KP_RESOLVER_ANSWER_H
#define KP_RESOLVER_ANSWER_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/msg/fields.h"

struct why;

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_TLSA = 52,
};

enum {
	ANSWER_RECORDS_MAX = 256,
	ANSWER_NAME_MAX = 1024,
	ANSWER_DATA_MAX = 64 * 1024,
	ANSWER_CNAMES_MAX = 16
};

struct answer_record {
	uint16_t type;
	uint16_t preference; /* MX */
	size_t at, n;        /* the data, in `data` */
};

struct answer {
	enum dns_status status;
	char name[ANSWER_NAME_MAX + 1]; /* after CNAMEs, lower case, no final dot */
	uint32_t ttl;                   /* the least of all records that were used */
	struct answer_record records[ANSWER_RECORDS_MAX];
	size_t n;
	struct buf data;
};

void answer_init(struct answer *a);
void answer_clear(struct answer *a);

/*
 * Reads `packet` as the answer to a question for `type`. 0, also for NXDOMAIN and no data; -1 with
 * `why` where it is malformed, of another question, or says that the server failed (status
 * DNS_FAILED then).
 */
int answer_parse(struct answer *a, struct str packet, uint16_t type, struct why *why) KP_MUST_USE;

/* The data of a record, as DNS_RECORD carries it. */
struct str answer_data(const struct answer *a, size_t i);

#endif
