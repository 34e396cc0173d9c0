import { Stack, type StackProps } from 'aws-cdk-lib';
import type * as ecs from 'aws-cdk-lib/aws-ecs';
import { Construct } from 'constructs';
import { Data, type DataProps } from './data.ts';
import { dataOutputs } from './data-plane.ts';
import { Service } from './service.ts';

export interface RoomcastStackProps extends StackProps, DataProps {
  /** The server's image; it may be one that the stack's parameters name. */
  readonly image: (stack: Stack) => ecs.ContainerImage;
}

/** All in one stack, which comes and goes as a whole: for environments whose messages need not outlive it. */
export class RoomcastStack extends Stack {
  constructor(scope: Construct, id: string, props: RoomcastStackProps) {
    super(scope, id, { description: 'Roomcast: message log, stream publisher, nodes, load balancer', ...props });
    const data = new Data(new Construct(this, 'Data'), props);
    dataOutputs(this, data.plane);
    // `Service` is the name of an output.
    const { nodes } = new Service(new Construct(this, 'Serving'), { settings: props.settings, data: data.plane, image: props.image(this) });
    // As with two stacks: what is written can be published before there is a node that writes.
    nodes.service.node.addDependency(data.publisher);
  }
}
