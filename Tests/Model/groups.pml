/*
 * Rule 5 for groups of the persister: a query that allocates IDs and commits events under them, whose sender may lose the
 * connection and then does not know what became of it. The first model, tidemark.pml, has the rest of rule 5.
 *
 * Two writers of two names, both members all the time. A group is a fetch in progress until its outcome is known. The
 * database may get the query long after its sender gave it up, and the transaction may be open for as long as one likes.
 *
 * Checked: no event is committed at or below the reader's cursor. -DWITHOUT_... takes one part of the rule away.
 */
#ifndef IDS
#define IDS 3                          /* how many IDs the sequence has, at most 3 */
#endif
#ifndef SETTLES
#define SETTLES 2                      /* how often each writer asks what became of a group, at most 2 */
#endif

#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define BIT(i) (1 << ((i) - 1))
#define HIGHEST(set) (((set) & 4) != 0 -> 3 : (((set) & 2) != 0 -> 2 : (((set) & 1) != 0 -> 1 : 0)))

/* The database. */
byte sequence;
byte events;                           /* rows, by ID: a mask; ID 1 is the lowest bit */
byte position[2];                      /* durable */
byte fence[2];

/* Queries that were sent and that the database has not got yet, by the fence that they name: a mask. */
byte sent[2];

/* The transaction of a group: the ID that it allocated, and the fence that it named. It holds the lock of the group. */
byte open[2]; byte openFence[2];

/* What the newest group has come to, for its sender to hear or to ask: the event's ID, or that it was rolled back. */
byte done[2]; bool isRolledBack[2];

/* Replication, heard at once: a reader that hears later has a lower cursor, and misses nothing that this one does not. */
byte announced[2];

/* Of a writer process: a group is under way, and which fence its groups name. */
bool isAsking[2]; byte named[2];

byte cursor;                           /* the reader's */

/* ---- A writer process ---- */

/* With a group under way the floor, otherwise what is known. */
#define OWN_POSITION (isAsking[p] -> floor : known)

#ifdef WITHOUT_5_LOCK
#define MAY_LOCK(p) true
#else
#define MAY_LOCK(p) (open[p] == 0)
#endif

proctype writer(byte p) {
  byte known = 0;                      /* the highest ID that is durably allocated, as far as it can tell */
  byte floor = 0;                      /* what was known when the group began */
  bool isUnknown = false;              /* the connection is lost */
end: do
  :: d_step { !isAsking[p] && (sent[p] & (1 << named[p])) == 0 && sequence < IDS ->
       isAsking[p] = true; floor = known; sent[p] = sent[p] | (1 << named[p]) }
  /* The answer. */
  :: d_step { isAsking[p] && !isUnknown && done[p] != 0 ->
       known = MAX(known, done[p]); isAsking[p] = false; floor = 0; done[p] = 0 }
  :: d_step { isAsking[p] && !isUnknown && isRolledBack[p] ->
       isAsking[p] = false; floor = 0; isRolledBack[p] = false }
  /* No answer, and none will come. */
  :: d_step { isAsking[p] && !isUnknown && named[p] < SETTLES ->
#ifdef WITHOUT_5_UNKNOWN               /* what was not acknowledged is taken for rolled back */
       isAsking[p] = false; floor = 0; done[p] = 0; isRolledBack[p] = false
#else
       isUnknown = true
#endif
     }
  /* The database is asked. It waits for the group's transaction, raises the fence, and looks. */
  :: d_step { isUnknown && MAY_LOCK(p) ->
       named[p]++;
#ifndef WITHOUT_5_FENCE
       fence[p] = named[p];
#endif
       known = MAX(known, done[p]);
       isAsking[p] = false; floor = 0; isUnknown = false; done[p] = 0; isRolledBack[p] = false }

  :: d_step { announced[p] < OWN_POSITION -> announced[p] = OWN_POSITION }
  :: d_step { known < announced[1 - p] -> known = announced[1 - p] }
  /* A heartbeat writes down what was promised, and reads the newest row and what others have closed. */
  :: d_step { position[p] < OWN_POSITION -> position[p] = OWN_POSITION }
  :: d_step { known < MAX(HIGHEST(events), position[p]) -> known = MAX(HIGHEST(events), position[p]) }
  od
}

/* ---- The database, whoever closes silent writers, and the reader ---- */

#ifdef WITHOUT_5_FENCE
#define IS_NAMED(p, f) true
#else
#define IS_NAMED(p, f) (fence[p] == (f))
#endif

/* A query comes, and is checked under the lock that it takes; it allocates its ID. One that is refused, or gets lost, is
   not there any more. */
#define GROUP(p, f) \
  :: d_step { (sent[p] & (1 << (f))) != 0 && IS_NAMED(p, f) && open[p] == 0 && sequence < IDS -> \
       sent[p] = sent[p] & ~(1 << (f)); sequence++; open[p] = sequence; openFence[p] = (f) } \
  :: d_step { (sent[p] & (1 << (f))) != 0 -> sent[p] = sent[p] & ~(1 << (f)) }

/* Its transaction ends. Its sender may ask for it, if it still is the newest. */
#define END(p) \
  :: d_step { open[p] != 0 -> \
       assert(open[p] > cursor); \
       events = events | BIT(open[p]); \
       if :: isAsking[p] && openFence[p] == named[p] -> done[p] = open[p] :: else fi; \
       open[p] = 0; openFence[p] = 0 } \
  :: d_step { open[p] != 0 -> \
       if :: isAsking[p] && openFence[p] == named[p] -> isRolledBack[p] = true :: else fi; \
       open[p] = 0; openFence[p] = 0 }

/* Rule 6: it waits for the writer's transactions. */
#define CLOSE(p) \
  :: d_step { position[p] < sequence && open[p] == 0 -> position[p] = sequence }

#define MINIMUM MIN(MAX(announced[0], position[0]), MAX(announced[1], position[1]))

active proctype database() {
  byte minimum = 0;
end: do
  GROUP(0, 0)
  GROUP(1, 0)
  GROUP(0, 1)
  GROUP(1, 1)
#if SETTLES > 1
  GROUP(0, 2)
  GROUP(1, 2)
#endif
  END(0)
  END(1)
  CLOSE(0)
  CLOSE(1)
  /* The reader. */
  :: d_step { cursor < MINIMUM || (cursor < IDS && (events & BIT(cursor + 1)) != 0) ->
       minimum = MAX(cursor, MINIMUM);
       do
       :: minimum < IDS && (events & BIT(minimum + 1)) != 0 -> minimum++
       :: else -> break
       od;
       cursor = minimum; minimum = 0 }
  od
}

init { atomic { run writer(0); run writer(1) } }
