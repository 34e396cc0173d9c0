/** Processors that tasks and the Lambda run on. */
export type Architecture = 'arm64' | 'x86_64';

/** How something is encrypted at rest: with AWS's key for that service, or with a key of this deployment (KMS). */
export type Encryption = 'aws-managed' | 'customer-managed';

/** What differs between environments. `checkSettings` says what cannot be right. */
export interface Settings {
  /** Names the stacks: `roomcast-<environment>`, or with `-data` and `-service` behind it. */
  readonly environment: string;
  /** One stack, or two so that the data outlive the service, or only the data. */
  readonly stacks: 'one' | 'two' | 'data';
  /** Account and region; needed only to look up an existing network, otherwise the credentials decide. */
  readonly account?: string;
  readonly region?: string;
  /** Whether messages outlive the stack, and tables and load balancer refuse to be deleted. */
  readonly protect: boolean;
  readonly data: DataSettings;
  readonly service: ServiceSettings;
  readonly alarms: AlarmSettings;
}

/** The messages and their way out: tables, stream, publisher, topics. */
export interface DataSettings {
  /** SNS topics; a room belongs to one of them by its name. More than one only for very many messages: 1 to 64. */
  readonly topicShards: number;
  /** Encryption of tables and topics. A key of your own costs a request for each publish and delivery batch. */
  readonly encryption: Encryption;
  /** A table of messages that was restored from a backup and takes the place of the stack's own, which is then kept aside. */
  readonly restoredMessages?: { readonly tableName: string; readonly streamArn: string };
  /** Whether the tables can be restored to any second of the last 35 days. */
  readonly pointInTimeRecovery: boolean;
  /** The publisher's processor; its `bootstrap` must be built for it. */
  readonly publisherArchitecture: Architecture;
  /** The publisher's memory in MiB; processor time grows with it: 128 to 10,240. */
  readonly publisherMemory: number;
  /** Days that logs are kept; one of CloudWatch's steps. */
  readonly logDays: number;
}

/** The nodes and how they are reached. */
export interface ServiceSettings {
  readonly network: NetworkSettings;
  readonly entrance: EntranceSettings;
  readonly task: TaskSettings;
  readonly scaling: ScalingSettings;
  /** Hints through ElastiCache for Valkey; none without it. Beyond 32 nodes they are the only ones that are fast. */
  readonly accelerator?: AcceleratorSettings;
  /** Days that logs are kept; one of CloudWatch's steps. */
  readonly logDays: number;
  /** Whether ECS collects Container Insights (paid for by metric). */
  readonly containerInsights: boolean;
  /** Security group (`sg-…`) of those who read the nodes' metrics, a Prometheus for example; without it nobody else can. */
  readonly metricsReaders?: string;
}

/** A network of its own, or one that exists. Tasks live in private subnets and need a way out to AWS's public addresses. */
export type NetworkSettings =
  | {
      readonly kind: 'new';
      /** The address range, for example `10.42.0.0/16`. */
      readonly cidr: string;
      /** Zones: 2 or more (more than 2 only where account and region are set). */
      readonly zones: number;
      /** NAT gateways: 1, or one for each zone so that no zone needs another. */
      readonly natGateways: number;
      /** Whether refused connections are logged. */
      readonly flowLogs: boolean;
    }
  | {
      readonly kind: 'existing';
      /**
       * Looked up at synthesis, which needs account and region. Its private subnets must have a NAT gateway; a gateway endpoint for
       * DynamoDB, which keeps the log's traffic from being paid for there, is yours.
       */
      readonly vpcId: string;
    }
  | {
      readonly kind: 'given';
      /** As `existing`, without a look-up. */
      readonly vpcId: string;
      readonly availabilityZones: readonly string[];
      readonly publicSubnetIds: readonly string[];
      readonly privateSubnetIds: readonly string[];
    };

/** The load balancer's public side. */
export interface EntranceSettings {
  /** `http` is for trials: everything, SNS's posts too, crosses the internet in clear text. */
  readonly protocol: 'https' | 'http';
  /** Host name of the certificate; clients and SNS come to it. Needed for `https`. */
  readonly domainName?: string;
  /** A certificate of ACM in the same region. Without it one is made, for which `zone` is needed. */
  readonly certificateArn?: string;
  /** Route 53 zone in which the host name (and the proof for a new certificate) is written. */
  readonly zone?: { readonly id: string; readonly name: string };
  /** Seconds without a byte after which the load balancer cuts a connection; more than twice the heartbeat. */
  readonly idleTimeout: number;
  /** Seconds that a leaving task still counts as target; SIGTERM comes only after them. */
  readonly deregistrationDelay: number;
  /** Cookies that keep a client on its node: only for clients that poll instead of using WebSockets. */
  readonly stickySessions: boolean;
  /** Whether requests are logged to S3. A WebSocket is logged when it ends. */
  readonly accessLogs: boolean;
}

/** One node. */
export interface TaskSettings {
  /** An image that exists, for example in ECR; without it the Dockerfile is built and pushed at deployment. */
  readonly imageUri?: string;
  readonly architecture: Architecture;
  /** Processor units, 1,024 are one vCPU; and MiB. Fargate has fixed pairs. */
  readonly cpu: number;
  readonly memory: number;
  /** WebSocket connections that a node takes. */
  readonly connections: number;
  /** Milliseconds over which a stopping node closes its sessions; with what follows less than the 120 s that Fargate gives. */
  readonly drainMs: number;
  /** Milliseconds between WebSocket pings. */
  readonly heartbeatMs: number;
  /** Hours that messages are kept. */
  readonly retentionHours: number;
  /** Whether nodes tell each other at once what they committed. */
  readonly peerHints: 'auto' | 'on' | 'off';
  /** What is logged, as a tracing filter. Alarms and dashboard count lines of `ws_server` at `info` and above. */
  readonly log: string;
  /** Further variables, for example `ROOMCAST_MAX_BODY`. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A primary and its replicas, in the service's private subnets, by TLS and with a password. */
export interface AcceleratorSettings {
  /** ElastiCache's size of a node: `cache.t4g.small`, … Everything that is published goes out to every node of the service. */
  readonly nodeType: string;
  /** 1 to 6; from 2 on, which are in different zones, one takes over when the primary fails. */
  readonly nodes: number;
}

/** How many nodes there are. */
export interface ScalingSettings {
  readonly minTasks: number;
  readonly maxTasks: number;
  /** Connections a task at which another one is started. */
  readonly connectionsPerTask: number;
  /** Percent of the processors, on average, at which another one is started. */
  readonly cpuPercent: number;
}

/** Where alarms go. */
export interface AlarmSettings {
  readonly enabled: boolean;
  /** An SNS topic that exists; or else a new one, to which `email` is subscribed if it is given. */
  readonly topicArn?: string;
  readonly email?: string;
}
