import { Stack } from 'aws-cdk-lib';
import * as assets from 'aws-cdk-lib/aws-ecr-assets';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type { Construct } from 'constructs';
import type { TaskSettings } from '../settings.ts';

/** The folder of the Dockerfile. */
const REPOSITORY = new URL('../../..', import.meta.url).pathname;
/** An image in a private registry of ECR: account, region, repository, tag or digest. */
const IN_ECR = /^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\/([^:@]+)(?::|@)(.+)$/;

/** The server's image: one that exists, or one that is built from this repository when it is deployed. */
export function serverImage(scope: Construct, { imageUri, architecture }: TaskSettings): ecs.ContainerImage {
  if (imageUri === undefined) {
    const { LINUX_ARM64, LINUX_AMD64 } = assets.Platform;
    return ecs.ContainerImage.fromAsset(REPOSITORY, {
      platform: architecture === 'arm64' ? LINUX_ARM64 : LINUX_AMD64,
    });
  }
  const [, account, region, name, tag] = IN_ECR.exec(imageUri) ?? [];
  if (name === undefined) {
    return ecs.ContainerImage.fromRegistry(imageUri);
  }
  // ECS may pull from a private registry only if it is told which repository.
  const repository = ecr.Repository.fromRepositoryAttributes(scope, 'Image', {
    repositoryName: name,
    repositoryArn: `arn:${Stack.of(scope).partition}:ecr:${region}:${account}:repository/${name}`,
  });
  return ecs.ContainerImage.fromEcrRepository(repository, tag);
}
