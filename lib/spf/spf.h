/* SPDX-License-Identifier: ISC */
/*
 * SPF (RFC 7208): may this address send mail for this domain? Evaluated in one go over answers of
 * DNS that the caller has; where one is missing the evaluation ends with SPF_ASKED, and is begun
 * again when it is there.
 */
#ifndef KP_SPF_SPF_H
#define KP_SPF_SPF_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

enum spf_result {
	SPF_NONE,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,
	SPF_PERMERROR,
	SPF_ASKED,
	SPF_RESULTS = SPF_ASKED,
};

/* "softfail" */
const char *spf_result_name(enum spf_result r);

enum { SPF_A = 1, SPF_PTR = 12, SPF_MX = 15, SPF_TXT = 16, SPF_AAAA = 28 };

enum { SPF_LOOKUPS_MAX = 10, SPF_VOIDS_MAX = 2, SPF_NAMES_MAX = 10 }; /* RFC 7208 4.6.4 */

struct spf_dns {
	bool failed; /* could not tell */
	size_t n;    /* records */
	const void *records;
};

struct spf_source {
	void *arg;
	/* false: the answer is not there yet */
	bool (*lookup)(void *arg, unsigned type, const char *name, struct spf_dns *dns);
	/* The data of a record, as the resolver gives it: 4 or 16 octets, a name, a text. */
	struct str (*record)(const struct spf_dns *dns, size_t i);
};

struct spf {
	const struct spf_source *source;
	const unsigned char *ip; /* 4 or 16 octets */
	size_t ip_n;
	const char *sender; /* "user@domain"; of the null sender postmaster@HELO */
	const char *helo;
	const char *receiver; /* our name, for %{r} */

	/* the result's details */
	char problem[200];     /* of an error; the mechanism that matched of others */
	char explanation[300]; /* of a fail, where the domain has one; "" else */

	unsigned lookups, voids, depth;
};

/* check_host() for the sender's domain. */
enum spf_result spf_check(struct spf *q) KP_MUST_USE;

#endif
