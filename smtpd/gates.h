/* SPDX-License-Identifier: ISC */
/* The gates, in the order in which stage.c asks them. */
#ifndef SMTPD_GATES_H
#define SMTPD_GATES_H

struct gate;

extern const struct gate gate_limits, gate_screen, gate_milter;

extern const struct gate gate_restrict; /* the restriction lists: restrict.c */

#endif
