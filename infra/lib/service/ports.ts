/** The nodes' port for clients, SNS and health checks. */
export const NODE_PORT = 8_080;
/** The nodes' port for each other. */
export const LINK_PORT = 8_090;
