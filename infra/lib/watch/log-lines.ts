import type { AlarmRule } from './alarm.ts';

/** What becomes a metric. */
interface Counted {
  /** Name of the metric, and of its alarm. */
  readonly id: string;
  /** When somebody is told; without it the metric is for the dashboard alone. */
  readonly alarm?: AlarmRule;
}

/** A line of the nodes' logs that is counted. A test holds the texts to the nodes' own. */
export interface LogLine extends Counted {
  /** The line's message, exactly. */
  readonly message: string;
}

/** What nodes say when something is wrong that no metric of AWS shows. */
export const LOG_LINES: readonly LogLine[] = [
  {
    id: 'SubscriptionFails',
    message: 'a call for the subscription did not succeed',
    alarm: { description: 'Nodes cannot subscribe to a topic, so they are not ready.', above: 0, bad: 3, minutes: 5 },
  },
  {
    id: 'SegmentRefused',
    message: 'the message log refused a segment',
    alarm: { description: 'DynamoDB refuses what a node writes: a mistake in the program.', above: 0, bad: 1, minutes: 1 },
  },
  {
    id: 'SegmentNotTaken',
    message: 'the message log did not take a segment',
    alarm: { description: 'Publishers hear that their messages were not taken.', above: 0, bad: 3, minutes: 5 },
  },
  {
    id: 'MessagesUnreadable',
    message: 'messages that cannot be read were passed over',
    alarm: {
      description: 'Rooms hold messages that this version cannot read; their members were reset.',
      above: 0, bad: 1, minutes: 1,
    },
  },
  {
    id: 'LeaseNotRenewed',
    message: "the node's lease was not renewed",
    alarm: { description: 'A node cannot tell the others that it lives.', above: 0, bad: 5, minutes: 10 },
  },
  {
    id: 'PostsRefused',
    message: 'SNS post refused',
    alarm: { description: 'Posts are refused: forged, too old (clocks), or of another topic.', above: 0, bad: 10, minutes: 15 },
  },
  {
    id: 'PostsNotPassedOn',
    message: 'an SNS post was not passed on',
    alarm: { description: 'Nodes cannot pass posts on to each other.', above: 0, bad: 5, minutes: 10 },
  },
  { id: 'OutcomeUnknown', message: "a commit's outcome is unknown" },
  { id: 'LogThrottling', message: 'the message log is throttling' },
  { id: 'PeersSilent', message: 'another node did not answer well' },
  { id: 'SessionsCutOff', message: 'sessions were cut off' },
];

/** The line by which each node sums up a minute, at its end. */
export const REPORT = 'the last minute';

/** A number of that line that becomes a metric. */
export interface ReportedNumber extends Counted {
  readonly field: string;
  /** How the numbers of several nodes make one. */
  readonly statistic: 'Sum' | 'Maximum';
}

/** What only nodes know. */
export const REPORTED: readonly ReportedNumber[] = [
  { id: 'Sessions', field: 'sessions', statistic: 'Sum' },
  {
    id: 'NodesNotReady',
    field: 'not_ready',
    statistic: 'Sum',
    alarm: { description: 'Nodes serve without a confirmed subscription, or have been stopping for minutes.', above: 0, bad: 5, minutes: 5 },
  },
  {
    // A node logs a break once; it lasts until the node hears something.
    id: 'ChainBroken',
    field: 'chain_broken',
    statistic: 'Sum',
    alarm: { description: 'Nodes get nothing through SNS, pulses neither.', above: 0, bad: 3, minutes: 5 },
  },
  { id: 'CommitsP50', field: 'commit_p50_ms', statistic: 'Maximum' },
  {
    id: 'CommitsWaitLong',
    field: 'commit_p99_ms',
    statistic: 'Maximum',
    alarm: { description: 'The slowest hundredth of commits takes a node more than 500 ms.', above: 500, bad: 5, minutes: 10 },
  },
  {
    id: 'OwnSegmentsLate',
    field: 'own_segments_late',
    statistic: 'Sum',
    alarm: { description: 'What nodes commit does not come back to them through SNS within 10 s.', above: 5, bad: 5, minutes: 10 },
  },
  { id: 'RacesLost', field: 'conflicts', statistic: 'Sum' },
];
