/*
 * Two lives of one database: the second begins from a copy of the first that lags, as a standby that is promoted, or a
 * backup that is put back, and what the copy did not have is lost. A reader goes on from the one to the other. The writers
 * of the first stay in the first, and go on speaking on the same channel; or they reach the second, which tells them from its
 * own. And somebody lies once.
 *
 * Written as tidemark.pml is, and smaller: one ID in flight for each writer, whose allocation is one step, and no crash.
 * Processes 0 and 1 are writers of the first life, 2 and 3 of the second; 0 and 2 have the instance name 0.
 *
 * Checked: in each snapshot that the reader goes by, all events at or below its cursor are those that it has passed.
 * -DWITHOUT_... takes one rule away: the list is in README.md.
 */
#ifndef IDS
#define IDS 2                          /* how many IDs the sequence has, at most 3 */
#endif
#ifndef CHANGES
#define CHANGES 4                      /* joins and retirements in both lives together */
#endif
#ifndef LIES
#define LIES 1
#endif

#define NAME(p) ((p) % 2)
#define LIFE(p) ((p) / 2)
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define BIT(i) (1 << ((i) - 1))
#define THROUGH(i) ((1 << (i)) - 1)
#define HIGHEST(set) (((set) & 4) != 0 -> 3 : (((set) & 2) != 0 -> 2 : (((set) & 1) != 0 -> 1 : 0)))

#define NOWHERE 7                      /* an ID that no sequence reaches */

/* The database that readers and writers of the running life use. */
bool life; byte begin;                 /* above this ID the second life hands out its own */
byte sequence;
byte events[2];                        /* rows, by ID, and by the life in which they were committed: their marks */
byte version;                          /* of the membership */
byte epoch[2]; bool isMember[2]; byte position[2];
byte nonce[2];                         /* of the member: which process drew it */
byte changes;

/* The copy. */
byte copySequence; byte copyEvents; byte copyVersion; byte copyEpoch[2]; bool copyIsMember[2]; byte copyPosition[2];

/* Replication: the newest position that a process announced, and its epoch. Its nonce is its number. */
byte announced[4]; byte announcedEpoch[4];
bool isLied[2]; byte lies;             /* somebody says of the member that it is far ahead */

#define ROWS (events[0] | events[1])

/* Versions rise by random steps: those of the second life are not those of the first. */
#ifdef WITHOUT_7_JUMP
#define JUMP 1
#else
#define JUMP 16
#endif

/* ---- A writer process ---- */

#define OWN_POSITION (held != 0 -> MIN(known, held - 1) : known)
#define IS_HERE(p) (mine != 0 && LIFE(p) == life)
#define IS_NEWEST(p) (isMember[NAME(p)] && epoch[NAME(p)] == mine)
/* Rule 4: an epoch is one of the life in which its writer joined. */
#ifdef WITHOUT_4_LIFE
#define MAY_WRITE(p) (mine != 0 && IS_NEWEST(p))
#else
#define MAY_WRITE(p) (mine != 0 && IS_NEWEST(p) && LIFE(p) == life)
#endif
#define OTHER(p) (2 * LIFE(p) + 1 - NAME(p))

proctype writer(byte p) {
  byte mine = 0;                       /* its epoch */
  byte known = 0;
  byte held = 0;
  byte taken = 0;                      /* in the second life, by who joined in the first */
end: do
  :: d_step { mine == 0 && LIFE(p) == life && changes < CHANGES ->
       changes++;
       epoch[NAME(p)]++; isMember[NAME(p)] = true; nonce[NAME(p)] = p; version++;
       position[NAME(p)] = sequence; mine = epoch[NAME(p)]; known = sequence; announcedEpoch[p] = mine }
  :: d_step { IS_HERE(p) && held == 0 && sequence < IDS -> sequence++; held = sequence }
  /* Rule 4. */
  :: d_step { IS_HERE(p) && held != 0 && IS_NEWEST(p) && held > position[NAME(p)] ->
       events[life] = events[life] | BIT(held); known = MAX(known, held); held = 0 }
  /* A heartbeat: it also learns that it was closed. */
  :: d_step { IS_HERE(p) && IS_NEWEST(p) ->
       position[NAME(p)] = MAX(position[NAME(p)], OWN_POSITION);
       if :: held != 0 && held <= position[NAME(p)] -> held = 0 :: else fi;
       known = MAX(known, MAX(HIGHEST(ROWS), position[NAME(p)])) }
  :: d_step { IS_HERE(p) && announced[p] < OWN_POSITION -> announced[p] = OWN_POSITION }
  :: d_step { IS_HERE(p) && known < announced[OTHER(p)] -> known = announced[OTHER(p)] }
  /* Who joined in the first life reaches the second, and takes an ID there: one that it holds from the first is void. */
  :: d_step { LIFE(p) < life && MAY_WRITE(p) && taken == 0 && sequence < IDS -> sequence++; taken = sequence }
  :: d_step { LIFE(p) < life && MAY_WRITE(p) && taken > position[NAME(p)] ->
       events[life] = events[life] | BIT(taken); taken = 0 }
  /* In the other database much may happen. */
  :: d_step { mine != 0 && LIFE(p) != life && announced[p] < IDS -> announced[p]++; held = 0; known = 0 }
  od
}

/* ---- The database ---- */

#define CLOSE(n) \
  :: d_step { isMember[n] && position[n] < sequence -> position[n] = sequence }
#define RETIRE(n) \
  :: d_step { isMember[n] && changes < CHANGES -> changes++; epoch[n]++; isMember[n] = false; version++ }

inline endEpoch(n) {
  epoch[n] = copyEpoch[n] + copyIsMember[n]; isMember[n] = false; position[n] = copyPosition[n]; nonce[n] = 0;
  copyEpoch[n] = 0; copyIsMember[n] = false; copyPosition[n] = 0
}

active proctype database() {
end: do
  CLOSE(0)
  CLOSE(1)
  RETIRE(0)
  RETIRE(1)
  /* The copy catches up. */
  :: d_step { !life ->
       copySequence = sequence; copyEvents = events[0]; copyVersion = version;
       copyEpoch[0] = epoch[0]; copyIsMember[0] = isMember[0]; copyPosition[0] = position[0];
       copyEpoch[1] = epoch[1]; copyIsMember[1] = isMember[1]; copyPosition[1] = position[1] }
  /* It takes over: an incarnation begins with the end of all epochs, above all rows and positions that are there. */
  :: d_step { !life ->
       life = true;
       sequence = copySequence; begin = sequence; events[0] = copyEvents; version = copyVersion + JUMP;
       endEpoch(0);
       endEpoch(1);
       copySequence = 0; copyEvents = 0; copyVersion = 0 }
  /* Somebody who may speak says something false in the name of a member. */
  :: d_step { lies < LIES && isMember[0] -> lies++; isLied[0] = true }
  :: d_step { lies < LIES && isMember[1] -> lies++; isLied[1] = true }
  od
}

/* ---- The background reader ---- */

bool isOver;                           /* it was told that the database was put back: an error, which ends it */

/* Rule 1. */
#ifdef WITHOUT_1_NONCE
#define HEARS(p) (announcedEpoch[p] == memberEpoch[NAME(p)])
#else
#define HEARS(p) (announcedEpoch[p] == memberEpoch[NAME(p)] && memberNonce[NAME(p)] == (p))
#endif
#define HEAR(p) \
  :: d_step { isCounted[NAME(p)] && HEARS(p) && heard[NAME(p)] < announced[p] -> heard[NAME(p)] = announced[p] }

/* What is above the snapshot's sequence was false, if it was noted before. */
#ifdef WITHOUT_1_BOUND
#define IS_FALSE false
#else
#ifdef WITHOUT_1_HEARD                 /* only what follows for the watermark is looked at */
#define IS_FALSE (minimum > sequence)
#else
#define IS_FALSE (MAX(minimum, noted) > sequence)
#endif
#endif

/* What was passed is what it was. */
#ifdef WITHOUT_7_PASSED
#define IS_ANOTHER false
#else
#define IS_ANOTHER (last != 0 && (events[lastLife] & BIT(last)) == 0)
#endif

/* Nor has it passed IDs without an event that the second life hands out again. */
#ifdef WITHOUT_7_BEGINNING
#define IS_ABOVE false
#else
#define IS_ABOVE (life && !seenLife && cursor > begin && last <= begin)
#endif

inline loadMember(n) {
  if
  :: isMember[n] && isCounted[n] && memberEpoch[n] == epoch[n] && memberNonce[n] == nonce[n] ->
       heard[n] = MAX(heard[n], position[n])
  :: isMember[n] && !(isCounted[n] && memberEpoch[n] == epoch[n] && memberNonce[n] == nonce[n]) ->
       heard[n] = position[n]; memberEpoch[n] = epoch[n]; memberNonce[n] = nonce[n]
  :: else -> heard[n] = 0; memberEpoch[n] = 0; memberNonce[n] = 0
  fi;
  isCounted[n] = isMember[n]
}

inline loadMembers() { loadMember(0); loadMember(1); seen = version }

inline takeBack(n) { if :: heard[n] > sequence -> heard[n] = position[n] :: else fi }

#define HAS_MEMBERS (isCounted[0] || isCounted[1])

inline computeMinimum() {
  if
  :: !HAS_MEMBERS -> minimum = cursor
  :: isCounted[0] && isCounted[1] -> minimum = MIN(heard[0], heard[1])
  :: isCounted[0] && !isCounted[1] -> minimum = heard[0]
  :: !isCounted[0] && isCounted[1] -> minimum = heard[1]
  fi;
  minimum = MAX(minimum, cursor);
  do
  :: minimum < IDS && (ROWS & BIT(minimum + 1)) != 0 -> minimum++
  :: else -> break
  od;
  noted = MAX(heard[0], heard[1])
}

inline deliver() {
  if :: !HAS_MEMBERS -> minimum = MAX(minimum, HIGHEST(ROWS)) :: else fi;
  minimum = MIN(minimum, IDS);
  assert((events[0] & THROUGH(cursor) & ~passed[0]) == 0 && (events[1] & THROUGH(cursor) & ~passed[1]) == 0);
  passed[0] = passed[0] | (events[0] & THROUGH(minimum));
  passed[1] = passed[1] | (events[1] & THROUGH(minimum));
  if
  :: HIGHEST(ROWS & THROUGH(minimum)) != 0 ->
       last = HIGHEST(ROWS & THROUGH(minimum)); lastLife = ((events[1] & BIT(last)) != 0)
  :: else
  fi;
  cursor = minimum
}

active proctype reader() provided (!isOver) {
  byte seen = 0; bool isCounted[2]; byte memberEpoch[2]; byte memberNonce[2]; byte heard[2];
  byte cursor = 0; byte passed[2]; byte last = 0; bool lastLife = false; bool seenLife = false;
  byte minimum = 0; byte noted = 0;
end: do
  HEAR(0)
  HEAR(1)
  HEAR(2)
  HEAR(3)
  :: d_step { isLied[0] -> isLied[0] = false; if :: isCounted[0] -> heard[0] = NOWHERE :: else fi }
  :: d_step { isLied[1] -> isLied[1] = false; if :: isCounted[1] -> heard[1] = NOWHERE :: else fi }
  /* Rule 7: the watermark and the note first, then a fresh snapshot. */
  :: d_step { computeMinimum() };
     d_step {
       if
       :: IS_ANOTHER || IS_ABOVE || sequence < cursor || version < seen -> isOver = true
       :: else ->
            if
            :: IS_FALSE -> takeBack(0); takeBack(1)
            :: !(IS_FALSE) && version != seen -> loadMembers()
            :: else -> deliver()
            fi
       fi;
       seenLife = life; minimum = 0; noted = 0 }
  od
}

init { atomic { run writer(0); run writer(1); run writer(2); run writer(3) } }
