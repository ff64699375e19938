import type { Member } from './member.js';

const LOOPBACK = /^(127\.|localhost:|\[::1\])/;

/** May `from` dial `to`? A loopback address is of use to workers of the same host only. */
export function reachable(from: Member, to: Member): boolean {
  const { peerAddress, host } = to.session.hello;
  if (peerAddress === '') return false;
  return !LOOPBACK.test(peerAddress) || (host !== '' && host === from.session.hello.host);
}

/** What shares processors and links with each other: the workers of a host. */
export function partyOf({ node, session }: Member): string {
  return session.hello.host || node;
}

type Pair = readonly [Member, Member];

/** The pairs in rounds, in each of which no party is in two. */
export function tournament(pairs: readonly Pair[]): readonly (readonly Pair[])[] {
  const rounds: { readonly pairs: Pair[]; readonly parties: Set<string> }[] = [];
  for (const pair of pairs) {
    const parties = pair.map(partyOf);
    let round = rounds.find((candidate) => parties.every((party) => !candidate.parties.has(party)));
    if (round === undefined) rounds.push((round = { pairs: [], parties: new Set() }));
    round.pairs.push(pair);
    for (const party of parties) round.parties.add(party);
  }
  return rounds.map((round) => round.pairs);
}
