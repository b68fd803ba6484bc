/* SPDX-License-Identifier: ISC */
/* The reader of DNS answers; the first byte chooses the type that was asked for. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "resolver/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint16_t types[] = {DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};

static void
check_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] >= 0x7f)
			panic("a name with a byte %u", (unsigned char)name.p[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct answer a;
	struct why why;

	if (size == 0)
		return 0;
	uint16_t type = types[data[0] % NELEM(types)];
	answer_init(&a);
	if (answer_parse(&a, str_make((const char *)data + 1, size - 1), type, &why) == 0) {
		if ((a.status == DNS_OK) != (a.n > 0))
			panic("status %d with %zu records", (int)a.status, a.n);
		check_name(str_from(a.name));
		for (size_t i = 0; i < a.n; i++)
			if (type == DNS_MX || type == DNS_PTR || type == DNS_CNAME)
				check_name(answer_data(&a, i));
	}
	answer_clear(&a);
	return 0;
}
