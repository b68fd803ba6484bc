/* SPDX-License-Identifier: ISC */
/* The addresses of this machine: mail to "user@[192.0.2.1]" is local where that is one of them. */
#ifndef KP_ROUTER_OWN_H
#define KP_ROUTER_OWN_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct own;
struct setting_list;
struct why;

/* All interfaces' addresses as they are now, and those of `proxy`. */
struct own *own_new(const struct setting_list *proxy, struct why *why) KP_MUST_USE;
void own_free(struct own **op);

/* `literal` with its brackets. */
bool own_has(const struct own *o, struct str literal);

#endif
