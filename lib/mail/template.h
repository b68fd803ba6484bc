/* SPDX-License-Identifier: ISC */
/* Texts of replies with names in them that are filled in: default_rbl_reply, smtpd_reject_footer.
 */
#ifndef KP_MAIL_TEMPLATE_H
#define KP_MAIL_TEMPLATE_H

#include <stddef.h>

#include "lib/base/str.h"

struct buf;

/* The value of a name, in `room` or elsewhere; "" where there is none. */
typedef const char *template_fn(void *arg, struct str name, char *room, size_t size);

/*
 * Adds `text` with $name, ${name}, ${name?text where it has a value} and ${name:text where it has
 * none} filled in; the inner text may hold names of its own. $$ is a $. What does not fit into
 * `out` is cut.
 */
void template_expand(struct str text, template_fn *value, void *arg, struct buf *out);

#endif
