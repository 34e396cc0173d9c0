/** The nodes' port for clients, SNS and health checks. */
export const NODE_PORT = 8_080;
/**
 * The nodes' port for metrics, which is not the load balancer's. Health is asked at the clients' port all the same: it must
 * fail with what clients use.
 */
export const OPERATIONS_PORT = 8_070;
/** The nodes' port for each other. */
export const LINK_PORT = 8_090;
/** Valkey's port; not the one that everybody tries. */
export const REDIS_PORT = 6_380;
