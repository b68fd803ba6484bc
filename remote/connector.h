/* SPDX-License-Identifier: ISC */
/*
 * Makes one connection to the next of a delivery's hosts that answers, with a quick switch (RFC
 * 8305): an address that has not answered within smtp_address_stagger gets company by the next of
 * the same preference; the first that is connected wins.
 */
#ifndef REMOTE_CONNECTOR_H
#define REMOTE_CONNECTOR_H

#include "remote/remote.h"

/* Starts from d->next_address, which moves on; delivery_connected() is called later, never before
 * this returns. */
void connector_start(struct delivery *d);

/* Gives up. Clears the caller's pointer; NULL is fine. */
void connector_free(struct connector **cp);

#endif
