"""What has to be so before a profile's cluster is applied: tools, the AWS account, the cluster, images, secrets."""
