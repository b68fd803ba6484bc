/* SPDX-License-Identifier: ISC */
/* Words to bits. */
#include "lib/conf/override.h"

#include <string.h>

#include "lib/base/why.h"
#include "lib/conf/setting.h"

static const struct {
	const char *word;
	enum override bit;
} rows[] = {
    {"no_unknown_recipient_checks", OVERRIDE_UNKNOWN },
    {"no_address_mappings",         OVERRIDE_MAPPINGS},
    {"no_header_body_checks",       OVERRIDE_CHECKS  },
    {"no_milters",                  OVERRIDE_MILTERS },
};

int
override_parse(unsigned *out, const struct setting_list *words, struct why *why)
{
	*out = 0;
	for (size_t i = 0; i < words->n; i++) {
		size_t at = 0;
		while (at < NELEM(rows) && strcmp(rows[at].word, words->items[i]) != 0)
			at++;
		if (at == NELEM(rows))
			return why_perm(why, NULL,
			    "receive_override_options: %s: expected no_unknown_recipient_checks, "
			    "no_address_mappings, no_header_body_checks or no_milters",
			    words->items[i]);
		*out |= rows[at].bit;
	}
	return 0;
}
