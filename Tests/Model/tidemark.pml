/*
 * Writers that share a sequence, a database that enforces their promises, and a reader that goes as far as they reach.
 *
 * Structured as the code is: what a writer process knows is PositionTracker (known, in flight, the floor of a fetch),
 * what the database does in one transaction is one step here (InMemoryDatabase), and the reader is ReaderCursor with
 * its own PositionTracker of the members. Processes 0 and 1 share the instance name 0 (a take-over, and the zombie
 * that it leaves), process 2 is instance 1.
 *
 * Checked: no event is committed at or below the reader's cursor, the cursor never goes back, and every event that it
 * passes was in the snapshot that it was passed with. With -DALL_RULES also what the rules say on the way there: see
 * `promised`. -DWITHOUT_... takes one rule away: the list is in README.md, and scripts/model shows that each is missed.
 */
#ifndef IDS
#define IDS 2                          /* how many IDs the sequence has, at most 3 */
#endif
#ifndef CHANGES
#define CHANGES 2                      /* joins, take-overs, leaves and retirements together */
#endif
#ifndef CRASHES
#define CRASHES 1                      /* of the database */
#endif

#define INSTANCE(p) ((p) / 2)
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define MIN(a, b) ((a) < (b) -> (a) : (b))

/* Sets of IDs are masks; ID 1 is the lowest bit. */
#define BIT(i) (1 << ((i) - 1))
#define THROUGH(i) ((1 << (i)) - 1)
#define LOWEST(set) (((set) & 1) != 0 -> 1 : (((set) & 2) != 0 -> 2 : (((set) & 4) != 0 -> 3 : IDS + 1)))
#define HIGHEST(set) (((set) & 4) != 0 -> 3 : (((set) & 2) != 0 -> 2 : (((set) & 1) != 0 -> 1 : 0)))

#ifdef ALL_RULES
#define promised(condition) assert(condition)
#else
#define promised(condition) skip
#endif

/* The database. */
byte sequence;
byte durable;                          /* what of the sequence survives a crash: only a commit makes it durable */
byte events, tombstones;               /* rows, by ID */
byte version;                          /* of the membership */
byte epoch[2]; bool isMember[2]; byte position[2];
byte crashes;

/* A COMMIT on its way whose sender lost its connection or does not wait for it: it may still happen, or not. */
byte underway[3]; byte underwayEpoch[3];

/* Replication. The newest position that a process announced, for whoever hears it, whenever it is heard. */
byte announced[3]; byte announcedEpoch[3];

/* IDs that writers took for finished although no row says so: closed below a position that the database enforces. */
byte closed;

byte cursor;                           /* the reader's */
bool isUp[3];
bool isVoid[3];                        /* the database started again: IDs that the process holds are void */

#define ROWS (events | tombstones)

/* Rule 4. */
#ifdef WITHOUT_4_EPOCH
#define IS_NEWEST(p, e) true
#else
#define IS_NEWEST(p, e) (epoch[INSTANCE(p)] == (e))
#endif
#ifdef WITHOUT_4_POSITION
#define IS_OPEN(p, i) true
#else
#define IS_OPEN(p, i) ((i) > position[INSTANCE(p)])
#endif
#ifdef WITHOUT_4_TOMBSTONE
#define IS_FREE(i) ((events & BIT(i)) == 0)
#else
#define IS_FREE(i) ((ROWS & BIT(i)) == 0)
#endif
#define MAY_COMMIT(p, i, e) (IS_NEWEST(p, e) && IS_OPEN(p, i) && IS_FREE(i))

/* A run is over when nothing can be committed any more: every ID has its row, or nobody is a member nor can become one. */
#if defined(WITHOUT_4_EPOCH) || defined(WITHOUT_4_TOMBSTONE) || defined(WITHOUT_4_EXCLUSION) || defined(WITHOUT_7_ORDER)
#define GOES_ON true
#else
#define GOES_ON (ROWS != THROUGH(IDS) && (version < CHANGES || isMember[0] || isMember[1]))
#endif

inline write(i) {
  assert(i > cursor);
  events = events | BIT(i);
  durable = sequence
}

/* ---- A writer process ---- */

/* With nothing in flight what is known; otherwise below the lowest ID in flight, and never above a fetch's floor. */
#ifdef WITHOUT_3
#define OWN_POSITION MIN(known, LOWEST(held) - 1)
#else
#define OWN_POSITION (isFetching -> MIN(floor, LOWEST(held) - 1) : MIN(known, LOWEST(held) - 1))
#endif

#ifdef WITHOUT_4_EXCLUSION             /* the checks come before the COMMIT, which others' changes do not wait for */
#define MAY_SEND(p, i) MAY_COMMIT(p, i, mine)
#else
#define MAY_SEND(p, i) true
#endif

#define HOLDS(p, i) (isUp[p] && !isVoid[p] && (held & BIT(i)) != 0)

inline join(p) {
  epoch[INSTANCE(p)]++;
  isMember[INSTANCE(p)] = true;
  version++;
  position[INSTANCE(p)] = sequence;
  durable = sequence;
  mine = epoch[INSTANCE(p)];
  known = MAX(known, sequence)
}

inline say(p) {
  if
  :: announcedEpoch[p] == mine -> announced[p] = MAX(announced[p], promise)
  :: announcedEpoch[p] != mine && promise > 0 -> announced[p] = promise; announcedEpoch[p] = mine
  :: else
  fi;
  promised(announced[p] <= durable);
  promise = 0
}

inline finish(i) { held = held & ~BIT(i) }

inline abandon(p, i) {
#ifdef WITHOUT_5                       /* a scope that threw is taken for one that rolled back */
  closed = closed | BIT(i);
#else
  if
  :: (events & BIT(i)) == 0 -> tombstones = tombstones | BIT(i)
  :: else
  fi;
  durable = sequence;
  known = MAX(known, i);
#endif
}

/* The IDs of an earlier start of the database are finished once their rows were looked up. They are not among the IDs
   known to be finished, and known only where a row is there: the sequence may hand them out again. */
inline lookUp(p) {
  known = MAX(known, HIGHEST(held & events));
#ifdef WITHOUT_4_INCARNATION           /* the scope goes on and commits */
  if
  :: held != 0 -> underway[p] = LOWEST(held); underwayEpoch[p] = mine
  :: else
  fi;
#endif
#ifdef WITHOUT_3_VOID                  /* recorded as finished, as those that have a tombstone are */
  closed = closed | held;
#endif
  held = 0; isFetching = false; answer = 0; floor = 0;
  isVoid[p] = false
}

/* One ID in flight: committed with an acknowledgement, sent without waiting for one, given up. */
#define SCOPE(p, i) \
  :: d_step { HOLDS(p, i) && MAY_COMMIT(p, i, mine) -> write(i); known = MAX(known, i); finish(i) } \
  :: d_step { HOLDS(p, i) && underway[p] == 0 && MAY_SEND(p, i) -> underway[p] = i; underwayEpoch[p] = mine } \
  :: d_step { HOLDS(p, i) -> abandon(p, i); finish(i) }

#define HEARD_HIGHEST MAX(announced[0], MAX(announced[1], announced[2]))

proctype writer(byte p) provided (GOES_ON) {
  byte mine = 0;                       /* its epoch */
  byte known = 0;                      /* the highest ID that is durably allocated, as far as it can tell */
  byte held = 0;                       /* in flight */
  bool isFetching = false; byte floor = 0;
  byte answer = 0;                     /* of the sequence, not yet heard */
  byte promise = 0;
end: do
  /* The first join of a name, or a take-over. (Processes 0 and 1 are alike: 0 comes first.) */
  :: d_step { !isUp[p] && version < CHANGES && (p != 1 || epoch[0] != 0) ->
       join(p); isUp[p] = true; isVoid[p] = false }
  /* Retired, and nobody took the name: its IDs in flight are below the new durable position. */
  :: d_step { isUp[p] && !isVoid[p] && version < CHANGES && !isMember[INSTANCE(p)] ->
       join(p); closed = closed | held; held = 0 }

  /* Rule 3: the floor is noted before the sequence is asked. */
  :: d_step { isUp[p] && !isVoid[p] && !isFetching && sequence < IDS -> isFetching = true; floor = known }
  :: d_step { isFetching && answer == 0 && !isVoid[p] && sequence < IDS ->
       sequence++; answer = sequence; promised((BIT(answer) & (ROWS | closed)) == 0) }
  :: d_step { isFetching && answer != 0 ->
       promised(answer > floor);
       if
       :: answer > floor -> held = held | BIT(answer)
       :: else                         /* the sequence went backwards: an error */
       fi;
#ifdef WITHOUT_2
       known = MAX(known, answer);
#endif
       isFetching = false; answer = 0; floor = 0 }
  /* The fetch ran over its limit: the ID that comes is lost, or is given up. */
  :: d_step { isFetching && answer != 0 -> isFetching = false; answer = 0; floor = 0 }
  :: d_step { isFetching && answer != 0 && !isVoid[p] -> abandon(p, answer); isFetching = false; answer = 0; floor = 0 }

  SCOPE(p, 1)
#if IDS > 1
  SCOPE(p, 2)
#endif
#if IDS > 2
  SCOPE(p, 3)
#endif
  :: d_step { isUp[p] && isVoid[p] -> lookUp(p) }

  :: d_step { isUp[p] -> promise = OWN_POSITION; say(p) }
  :: d_step { isUp[p] && known < HEARD_HIGHEST -> known = HEARD_HIGHEST }
  /* A heartbeat writes down what was promised before it reads the newest row, and learns what others have closed. */
  :: d_step { isUp[p] && !isVoid[p] && isMember[INSTANCE(p)] && epoch[INSTANCE(p)] == mine ->
       promise = OWN_POSITION;
       promise = MAX(promise, position[INSTANCE(p)]);
       position[INSTANCE(p)] = promise;
       durable = sequence;
       known = MAX(known, HIGHEST(ROWS));
       known = MAX(known, promise);
       closed = closed | (held & THROUGH(promise));
       held = held & ~THROUGH(promise);
       say(p) }

  /* The process dies. What it sent and announced may still come. */
  :: d_step { isUp[p] ->
       isUp[p] = false; isVoid[p] = false; mine = 0; known = 0; held = 0; isFetching = false; answer = 0; floor = 0 }
  od
}

/* ---- The database, and whoever closes and retires silent writers ---- */

/* A COMMIT whose sender is gone: done late, refused, or dropped. */
#ifdef WITHOUT_4_EXCLUSION
#define MAY_SETTLE(p) IS_FREE(underway[p])
#else
#define MAY_SETTLE(p) MAY_COMMIT(p, underway[p], underwayEpoch[p])
#endif
#define SETTLE(p) \
  :: d_step { underway[p] != 0 && MAY_SETTLE(p) -> write(underway[p]); underway[p] = 0; underwayEpoch[p] = 0 } \
  :: d_step { underway[p] != 0 -> underway[p] = 0; underwayEpoch[p] = 0 }

/* Rule 6. Leaving is retiring oneself: the process that goes on is a zombie, until it dies or joins again. */
#define CLOSE(n) \
  :: d_step { isMember[n] && position[n] < sequence -> position[n] = sequence; durable = sequence }
#define RETIRE(n) \
  :: d_step { isMember[n] && version < CHANGES -> epoch[n]++; isMember[n] = false; version++; durable = sequence }

active proctype database() provided (GOES_ON) {
end: do
  SETTLE(0)
  SETTLE(1)
  SETTLE(2)
  CLOSE(0)
  CLOSE(1)
  RETIRE(0)
  RETIRE(1)
  /* It starts again: open transactions are gone, and so is what of the sequence was not durable. */
  :: d_step { crashes < CRASHES ->
       crashes++; sequence = durable;
       underway[0] = 0; underway[1] = 0; underway[2] = 0;
       underwayEpoch[0] = 0; underwayEpoch[1] = 0; underwayEpoch[2] = 0;
       isVoid[0] = isUp[0]; isVoid[1] = isUp[1]; isVoid[2] = isUp[2] }
  od
}

/* ---- The background reader ---- */

/* Rule 1: only the epoch that the database gave is heard. */
#ifdef WITHOUT_1
#define HEARD(p) announced[p]
#else
#define HEARD(p) (announcedEpoch[p] == memberEpoch[INSTANCE(p)] -> announced[p] : 0)
#endif
#define HEAR(p) \
  :: d_step { isCounted[INSTANCE(p)] && heard[INSTANCE(p)] < HEARD(p) -> heard[INSTANCE(p)] = HEARD(p) }

/* Rule 8. What is heard and read of finished IDs stays true, so there is nothing to keep: the reader knows all of it,
   at once. (One that knows less has a lower cursor at every moment, and misses nothing that this one does not.) */
#ifdef WITHOUT_8
#define CAN_BE_PASSED(i) (((ROWS | closed) & BIT(i)) != 0 || heard[0] == (i) || heard[1] == (i))
#else
#define CAN_BE_PASSED(i) (((ROWS | closed) & BIT(i)) != 0)
#endif

inline loadMember(n) {
  if
  :: !isMember[n] -> heard[n] = 0; memberEpoch[n] = 0
  :: isMember[n] && memberEpoch[n] == epoch[n] -> heard[n] = MAX(heard[n], position[n])
  :: else -> heard[n] = position[n]; memberEpoch[n] = epoch[n]
  fi;
  isCounted[n] = isMember[n]
}

#define HAS_MEMBERS (isCounted[0] || isCounted[1])

/* With newer members the minimum follows them, down too; without members it stays. */
inline loadMembers() {
  loadMember(0);
  loadMember(1);
  seen = version;
  if :: HAS_MEMBERS -> minimum = 0 :: else fi
}

/* What the snapshot allows, by the watermark that was computed with the members of version `seen`. Without members it
   is everything there is: nobody can commit. */
inline deliver(rows) {
  if :: !HAS_MEMBERS -> minimum = MAX(minimum, HIGHEST(rows)) :: else fi;
  if
  :: minimum > cursor ->
       assert((events & THROUGH(minimum) & ~THROUGH(cursor) & ~(rows)) == 0);
       cursor = minimum
  :: else
  fi;
  minimum = 0
}

#define COMPUTE_MINIMUM \
  if \
  :: !HAS_MEMBERS -> minimum = MAX(minimum, cursor) \
  :: isCounted[0] && isCounted[1] -> minimum = MIN(heard[0], heard[1]) \
  :: isCounted[0] && !isCounted[1] -> minimum = heard[0] \
  :: !isCounted[0] && isCounted[1] -> minimum = heard[1] \
  fi; \
  do \
  :: minimum < IDS && CAN_BE_PASSED(minimum + 1) -> minimum++ \
  :: else -> break \
  od

active proctype reader() provided (GOES_ON) {
  byte seen = 0; bool isCounted[2]; byte memberEpoch[2]; byte heard[2];
  byte minimum = 0;
  byte before;
#ifdef WITHOUT_7_ORDER
  byte rows; byte rowsVersion;
#endif
end: do
  HEAR(0)
  HEAR(1)
  HEAR(2)
  /* It reconciles: the members, and their durable positions. */
  :: d_step { version != seen ||
       (isCounted[0] && heard[0] < position[0]) || (isCounted[1] && heard[1] < position[1]) -> loadMembers() }
  /* Without members whatever has a row, or lies below one, is finished. */
  :: d_step { seen == version && !HAS_MEMBERS && MAX(minimum, cursor) < HIGHEST(ROWS) -> minimum = HIGHEST(ROWS) }

  /* Rule 7: the watermark first, then a fresh snapshot of the events and the membership version together. */
#ifdef WITHOUT_7_ORDER
  :: d_step { rows = events; rowsVersion = version };
     atomic { COMPUTE_MINIMUM;
       if
       :: rowsVersion == seen -> deliver(rows)
       :: else -> loadMembers()
       fi;
       rows = 0; rowsVersion = 0 }
#else
  :: atomic { COMPUTE_MINIMUM;
       if
       :: minimum > cursor
       :: else -> minimum = 0; goto end /* nothing to ask a snapshot for */
       fi };
     d_step {
       before = cursor;
       if
#ifndef WITHOUT_7_VERSION
       :: seen != version -> loadMembers()
#endif
       :: else -> deliver(events)
       fi;
       assert(cursor >= before);
       before = 0 }
#endif
  od
}

init { atomic { run writer(0); run writer(1); run writer(2) } }
