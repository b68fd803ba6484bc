/* SPDX-License-Identifier: ISC */
/* What limiter answers, to whom. */
#ifndef LIMITER_SERVE_H
#define LIMITER_SERVE_H

#include "lib/chan/chan.h"
#include "limiter/verify.h"

extern const struct chan_rule serve_smtpd[], serve_qmgr[], serve_operators[];

/* Answers a VERIFY that has waited. */
verify_answer_fn serve_verified;

#endif
