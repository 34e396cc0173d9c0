import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import type * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as route53 from 'aws-cdk-lib/aws-route53';
import { LoadBalancerTarget } from 'aws-cdk-lib/aws-route53-targets';
import { Construct } from 'constructs';
import type { EntranceSettings } from '../settings.ts';

/** The host name: its certificate, and its record where its zone is in Route 53. */
export class Domain extends Construct {
  /** `undefined` for plain HTTP. */
  readonly certificate: acm.ICertificate | undefined;
  private readonly zone: route53.IHostedZone | undefined;
  private readonly name: string | undefined;

  constructor(scope: Construct, id: string, settings: EntranceSettings) {
    super(scope, id);
    this.name = settings.domainName;
    if (settings.zone) {
      this.zone = route53.HostedZone.fromHostedZoneAttributes(this, 'Zone', {
        hostedZoneId: settings.zone.id,
        zoneName: settings.zone.name,
      });
    }
    if (settings.protocol === 'https') {
      this.certificate = this.certify(settings);
    }
  }

  private certify(settings: EntranceSettings): acm.ICertificate {
    if (settings.certificateArn !== undefined) {
      return acm.Certificate.fromCertificateArn(this, 'Given', settings.certificateArn);
    }
    return new acm.Certificate(this, 'Certificate', {
      domainName: settings.domainName!,
      validation: acm.CertificateValidation.fromDns(this.zone),
    });
  }

  /** Points the name at the load balancer, if its zone is known. */
  pointAt(balancer: elb.ApplicationLoadBalancer): void {
    if (this.zone && this.name !== undefined) {
      new route53.ARecord(this, 'Record', {
        zone: this.zone,
        recordName: `${this.name}.`,
        target: route53.RecordTarget.fromAlias(new LoadBalancerTarget(balancer)),
      });
    }
  }
}
