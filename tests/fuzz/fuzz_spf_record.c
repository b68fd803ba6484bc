/* SPDX-License-Identifier: ISC */
/* SPF records and explanations: a line of the input is the answer to each question, in turn. */
#include <stdint.h>

#include "lib/base/panic.h"
#include "lib/spf/spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str rest;
static struct str now;

static bool
on_lookup(void *arg, unsigned type, const char *name, struct spf_dns *dns)
{
	(void)arg;
	(void)name;
	*dns = (struct spf_dns){0};
	if (!str_word(&rest, "\n", &now)) {
		dns->failed = type == SPF_MX;
		return true;
	}
	if ((type == SPF_A && now.n < 4) || (type == SPF_AAAA && now.n < 16))
		return true;
	dns->n = 1;
	dns->records = &now;
	if (type == SPF_A)
		now.n = 4;
	else if (type == SPF_AAAA)
		now.n = 16;
	return true;
}

static struct str
on_record(const struct spf_dns *dns, size_t i)
{
	(void)dns;
	(void)i;
	return now;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char ip[16] = {192, 0, 2, 65};
	const struct spf_source source = {.lookup = on_lookup, .record = on_record};

	for (size_t n = 4; n <= 16; n += 12) {
		struct spf q = {
		    .source = &source,
		    .ip = ip,
		    .ip_n = n,
		    .sender = "joe+x@plain.example",
		    .helo = "mail.example",
		    .receiver = "mx.example",
		};
		rest = str_make((const char *)data, size);
		enum spf_result r = spf_check(&q);
		if ((unsigned)r >= SPF_RESULTS)
			panic("no result");
		if (q.lookups > SPF_LOOKUPS_MAX + 1)
			panic("more questions than are allowed");
	}
	return 0;
}
