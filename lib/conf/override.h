/* SPDX-License-Identifier: ISC */
/* receive_override_options, for the programs that take mail in. */
#ifndef KP_CONF_OVERRIDE_H
#define KP_CONF_OVERRIDE_H

#include "lib/base/attr.h"

struct setting_list;
struct why;

enum override {
	OVERRIDE_UNKNOWN = 1 << 0,  /* no_unknown_recipient_checks */
	OVERRIDE_MAPPINGS = 1 << 1, /* no_address_mappings */
	OVERRIDE_CHECKS = 1 << 2,   /* no_header_body_checks */
	OVERRIDE_MILTERS = 1 << 3,  /* no_milters */
};

/* -1 with `why` for a word that is none of them. */
int override_parse(unsigned *out, const struct setting_list *words, struct why *why) KP_MUST_USE;

#endif
