/* SPDX-License-Identifier: ISC */
/*
 * Keys of TLS session tickets: made here at random, the same for all smtpd workers, so that each
 * opens what another has sealed. The newest seals; those before it still open.
 */
#ifndef KEEPER_TICKETS_H
#define KEEPER_TICKETS_H

struct chan;
struct keeper;

void tickets_start(struct keeper *k);

/* Tells one partner. */
void tickets_send(struct keeper *k, struct chan *ch);

/* New values of the settings. */
void tickets_reload(struct keeper *k);

#endif
