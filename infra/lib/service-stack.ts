import { Stack, type StackProps } from 'aws-cdk-lib';
import type * as ecs from 'aws-cdk-lib/aws-ecs';
import type { Construct } from 'constructs';
import { importDataPlane } from './data-plane.ts';
import { Service } from './service.ts';
import type { Settings } from './settings.ts';

export interface ServiceStackProps extends StackProps {
  /** The settings; some of them may be the stack's parameters. */
  readonly settings: (stack: Stack) => Settings;
  /** The server's image; it may be one that the stack's parameters name. */
  readonly image: (stack: Stack) => ecs.ContainerImage;
  /** Name of the data stack beside which this one lives; a text or a parameter. */
  readonly dataStack: (stack: Stack) => string;
}

/** What can be made anew, by itself; everything that must not be lost is in the data stack. */
export class ServiceStack extends Stack {
  constructor(scope: Construct, id: string, props: ServiceStackProps) {
    super(scope, id, { description: 'Roomcast: nodes, load balancer, network', ...props });
    const settings = props.settings(this);
    const data = importDataPlane(props.dataStack(this), {
      alarms: settings.alarms.enabled,
      customerKey: settings.data.encryption === 'customer-managed',
      topicShards: settings.data.topicShards,
    });
    new Service(this, { settings, data, image: props.image(this) });
  }
}
