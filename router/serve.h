/* SPDX-License-Identifier: ISC */
/* What router serves: one function for each message that a partner may send. */
#ifndef KP_ROUTER_SERVE_H
#define KP_ROUTER_SERVE_H

#include "lib/chan/chan.h"

extern const struct chan_rule serve_partners[], serve_operators[], serve_tables[];

/* Tells every partner, or one, which generation of tables answers now. */
struct router;
void serve_generation(struct router *r, struct chan *only);

#endif
