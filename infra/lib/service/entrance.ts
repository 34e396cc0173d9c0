import { Duration, Validations } from 'aws-cdk-lib';
import type * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { Construct } from 'constructs';
import type { EntranceSettings } from '../settings.ts';
import { AccessLogs } from './access-logs.ts';
import { NODE_PORT } from './ports.ts';

export interface EntranceProps {
  readonly settings: EntranceSettings;
  readonly vpc: ec2.IVpc;
  /** Needed for `https`. */
  readonly certificate: acm.ICertificate | undefined;
  /** Whether the load balancer refuses to be deleted. */
  readonly protect: boolean;
}

/** The load balancer: clients and SNS come in here. */
export class Entrance extends Construct {
  readonly balancer: elb.ApplicationLoadBalancer;
  readonly targets: elb.ApplicationTargetGroup;
  readonly securityGroup: ec2.SecurityGroup;
  /** The listener that leads to nodes. */
  readonly listener: elb.ApplicationListener;

  constructor(scope: Construct, id: string, props: EntranceProps) {
    super(scope, id);
    const { settings, vpc } = props;
    this.securityGroup = this.openGroup(props);
    this.balancer = new elb.ApplicationLoadBalancer(this, 'Balancer', {
      vpc,
      internetFacing: true,
      securityGroup: this.securityGroup,
      vpcSubnets: { subnetType: ec2.SubnetType.PUBLIC },
      idleTimeout: Duration.seconds(settings.idleTimeout),
      // The longest there is, so that no WebSocket ends for its age, if it counts for those at all.
      clientKeepAlive: Duration.days(7),
      dropInvalidHeaderFields: true,
      deletionProtection: props.protect,
    });
    if (settings.accessLogs) {
      new AccessLogs(this, 'AccessLogs', this.balancer);
    } else {
      Validations.of(this.balancer).acknowledge({
        id: 'AwsSolutions-ELB2',
        reason: 'Access logs are a setting, off for trials.',
      });
    }
    this.targets = this.makeTargets(props);
    this.listener = props.certificate ? this.listenWithTls(props.certificate) : this.listenInClear();
    this.hideInternals();
  }

  private openGroup(props: EntranceProps): ec2.SecurityGroup {
    const group = new ec2.SecurityGroup(this, 'Group', {
      vpc: props.vpc,
      description: 'Roomcast: clients and SNS to the load balancer',
      allowAllOutbound: false,
    });
    group.addIngressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(80), 'HTTP from anywhere');
    if (props.certificate) {
      group.addIngressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'HTTPS from anywhere');
    }
    Validations.of(group).acknowledge({
      id: 'AwsSolutions-EC23',
      reason: 'Clients are anywhere, and SNS names no addresses from which it posts. Posts are verified by signature.',
    });
    return group;
  }

  private makeTargets({ settings, vpc }: EntranceProps): elb.ApplicationTargetGroup {
    return new elb.ApplicationTargetGroup(this, 'Nodes', {
      vpc,
      port: NODE_PORT,
      protocol: elb.ApplicationProtocol.HTTP,
      targetType: elb.TargetType.IP,
      // It never touches the log: an outage of DynamoDB must not end the nodes.
      healthCheck: {
        path: '/healthz',
        interval: Duration.seconds(10),
        timeout: Duration.seconds(5),
        healthyThresholdCount: 2,
        unhealthyThresholdCount: 3,
      },
      deregistrationDelay: Duration.seconds(settings.deregistrationDelay),
      // A new node gets the new connections until it has as many as the others.
      loadBalancingAlgorithmType: elb.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
      ...(settings.stickySessions && { stickinessCookieDuration: Duration.hours(1) }),
    });
  }

  private listenInClear(): elb.ApplicationListener {
    return this.balancer.addListener('Http', {
      port: 80,
      protocol: elb.ApplicationProtocol.HTTP,
      open: false,
      defaultTargetGroups: [this.targets],
    });
  }

  private listenWithTls(certificate: acm.ICertificate): elb.ApplicationListener {
    const inClear = this.balancer.addListener('Http', {
      port: 80,
      protocol: elb.ApplicationProtocol.HTTP,
      open: false,
      defaultAction: elb.ListenerAction.fixedResponse(403, {
        contentType: 'text/plain',
        messageBody: 'this service speaks HTTPS',
      }),
    });
    // SNS takes no redirect for an answer, and what it posts is not for clear text.
    inClear.addAction('NoPosts', {
      priority: 10,
      conditions: [elb.ListenerCondition.pathPatterns(['/sns/*'])],
      action: elb.ListenerAction.fixedResponse(404),
    });
    inClear.addAction('Browsers', {
      priority: 20,
      conditions: [elb.ListenerCondition.httpRequestMethods(['GET', 'HEAD'])],
      action: elb.ListenerAction.redirect({ protocol: 'HTTPS', port: '443', permanent: true }),
    });
    return this.balancer.addListener('Https', {
      port: 443,
      protocol: elb.ApplicationProtocol.HTTPS,
      certificates: [certificate],
      sslPolicy: elb.SslPolicy.RECOMMENDED_TLS,
      open: false,
      defaultTargetGroups: [this.targets],
    });
  }

  /** What nodes say of themselves is for those who run them, who reach the nodes' own addresses. */
  private hideInternals(): void {
    this.listener.addAction('Internals', {
      priority: 10,
      conditions: [elb.ListenerCondition.pathPatterns(['/metrics', '/readyz'])],
      action: elb.ListenerAction.fixedResponse(404),
    });
  }
}
