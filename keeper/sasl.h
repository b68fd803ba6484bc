/* SPDX-License-Identifier: ISC */
/* libgsasl. */
#ifndef KEEPER_SASL_H
#define KEEPER_SASL_H

struct auth;

void sasl_start(struct auth *a);

#endif
