import { Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Data, type DataProps } from './data.ts';
import { exportDataPlane } from './data-plane.ts';

export interface DataStackProps extends StackProps, DataProps {
  /** Whether this is the plain template, whose stack name is not known yet. */
  readonly plain?: boolean;
}

/** What must not be lost, by itself: another life than the nodes have. It also deploys into an emulator. */
export class DataStack extends Stack {
  readonly plain: boolean;

  constructor(scope: Construct, id: string, props: DataStackProps) {
    super(scope, id, { description: 'Roomcast: message log, stream publisher, topics', ...props });
    this.plain = props.plain ?? false;
    exportDataPlane(this, new Data(this, props).plane);
  }
}
