/* SPDX-License-Identifier: ISC */
/*
 * What restrictions have found out: answers of resolver, router, policy servers. A restriction asks
 * for a fact; one that is not there is noted as wanted, the evaluation ends, the question is put,
 * and the evaluation begins again when the answer has come. So restrictions are straight code.
 */
#ifndef SMTPD_FACTS_H
#define SMTPD_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/base/why.h"
#include "lib/msg/fields.h"

struct map;

enum fact_kind {
	FACT_DNS,
	FACT_TABLE,
	FACT_ROUTE,
	FACT_POLICY,
	FACT_GREY,
	FACT_SLEEP,
	FACT_VERIFY
};

enum { TYPE_A = 1, TYPE_NS = 2, TYPE_PTR = 12, TYPE_MX = 15, TYPE_TXT = 16, TYPE_AAAA = 28 };

struct fact_record {
	unsigned preference;
	struct str data; /* owned by the fact */
};

/* What is asked. Owned by whoever holds it: fact_question_clear(). */
struct fact_question {
	enum fact_kind kind;
	unsigned type; /* of DNS; enum access_kind of a table; a policy server's number */
	char *name;    /* the name, the table, the address, the request */
	char *key;     /* of a table */
	int64_t ms;    /* of a sleep */
};

struct fact {
	bool failed; /* could not tell: `why` */
	struct why why;
	/* DNS */
	enum dns_status status;
	struct fact_record *records;
	size_t n;
	/* table, policy */
	bool found;
	char *text; /* "" where there is none */
	/* route */
	unsigned class;
	bool known;
	char *code; /* of an unknown one; `text` says why */
	/* greylist */
	bool refused; /* `why` */
	/* address verification; `text` is the reason */
	enum verify_status verified;
};

void fact_question_clear(struct fact_question *q);
char *fact_question_key(const struct fact_question *q) KP_MUST_USE;

struct fact *fact_new(void) KP_MUST_USE;
void fact_add(struct fact *f, unsigned preference, struct str data);
void fact_free(struct fact **fp);

/* For map_free(). */
void fact_free_value(void *value);

#endif
